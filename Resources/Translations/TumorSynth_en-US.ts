<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US" sourcelanguage="en_US">
  <context>
    <name>TumorSynth</name>
    <message>
      <source>TumorSynth</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Insert, change, remove, move and grow tumors in CT, MR and PET scans, steered by size, shape and texture.&lt;br&gt;&lt;b&gt;For research only.&lt;/b&gt; Results are synthetic or edited images and are marked as such. They are not for clinical use, and must not be mixed with patients' images.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tumors are made by a network that is conditioned on radiomics features: by a latent Brownian bridge, by diffusion, or by rectified flow. Features are those of PyRadiomics. The card of each model tells of its training data, its licence and its measured limits.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All {run} tests have passed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{failed} of {run} tests have failed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Research only. Results are synthetic or edited images, not for clinical use.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Every result is marked as synthetic: in its name, in the views, in its files and in DICOM headers.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Setup</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What has to be there before the first tumor: the software, the computer that does the work, and the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Whether the software that makes tumors is installed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Download and install what is missing. You are asked first and see what will be installed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Test</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Start the software once, apart from 3D Slicer, and report whether it works.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compute on</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Which processor makes the tumors. A graphics card (GPU) takes a second, the CPU some seconds.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Automatic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>CPU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Command</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>this computer, Slicer's Python</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Leave empty to work on this computer. Otherwise the path of another Python that has TumorSynth, or a command that starts one, such as: ssh gpu-host python</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Send scans with the request</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tick it when the work is done on another computer that cannot read this computer's files.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Worker</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>stopped</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The background program that makes the tumors, and what it computes on.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Start</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Start the background program now. Otherwise it starts when it is needed first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stop</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>End the background program and give its memory back.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The trained model, with its version.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What the model may be used for.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Input</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The scan, its organ, and where new tumors may lie.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The CT, MR or PET scan to put tumors into. It is never changed: results go to a copy.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>vtkMRMLScalarVolumeNode</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Select a scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What is known about the scan: modality, voxel size, number of voxels, and how its organ was decided.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Organ</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Body part and modality that the tumors are made for. Automatic looks at the scan; choose it yourself where that is wrong or undecided.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stay inside</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment that new tumors must stay inside of, for example the liver. Leave empty for no limit.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Lesions</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The tumors to make or change, one row each.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>One row for each tumor. Select a row to edit it below; the arrow keys move between rows, Delete removes the row.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name of the lesion; double-click to change it</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Task</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What will be done: insert, change, remove, move or grow</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Size</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Asked size, or the measured one once there is a result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>State</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Draft, running, result, kept or failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Whether it is shown in the views</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>✕</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take the row out of the table; the scan is not changed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click to place</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click in a slice or in the 3D view to put a new tumor there, and on for more of them. Esc leaves.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>From box</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Draw a box; the new tumor lies inside it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pick in view</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click on a segmented tumor in a slice to take it into the table. Esc leaves.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paint...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paint or draw a tumor with the Segment Editor and take it into the table.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>A segmented tumor of the scan.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Add segment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take the chosen segment into the table: to change, remove, move or grow it, or as the outline of a new tumor.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paint a tumor</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tools of the Segment Editor.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paint, draw, erase and smooth the tumor's outline.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Edit</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How the selected lesion should look. Only ticked properties are asked for; the others are left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Insert</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Put a new tumor into healthy tissue.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Change</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Give this tumor another size, shape or texture.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Remove</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Replace this tumor by plausible healthy tissue.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Move</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take this tumor away here and put it elsewhere, with the same shape and texture.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Grow</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make a series of scans in which this tumor has the given volumes, as in follow-up.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click the new place</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click in a view where the tumor should move to. Esc leaves.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Volumes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>4, 8, 16</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tumor volumes of the series in mL, separated by commas, smallest to largest or in any order.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>mL</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Volume</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Size of the tumor in mL, counted on the scan's voxels. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Size of the tumor in mL, counted on the scan's voxels.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What tumors of this organ usually have, from the 5th to the 95th percentile.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Longest diameter</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Longest axis of the tumor in mm. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Longest axis of the tumor in mm.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Roundness</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Sphericity: 1 is a perfect ball, lower values are irregular or lobulated. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Sphericity: 1 is a perfect ball, lower values are irregular or lobulated.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Elongation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Second over longest axis: 1 is as wide as long, lower values are elongated. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Second over longest axis: 1 is as wide as long, lower values are elongated.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Attenuation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean brightness of the tumor, in the unit of the scan (HU in CT). Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean brightness of the tumor, in the unit of the scan (HU in CT).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Heterogeneity</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How much the brightness varies inside the tumor: low is uniform, high is mixed. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How much the brightness varies inside the tumor: low is uniform, high is mixed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Coarseness</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Grain of the texture: low is fine, high is made of large patches. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Grain of the texture: low is fine, high is made of large patches.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Necrotic core</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Share of the tumor's volume that is a core of its own, for example necrosis. Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Share of the tumor's volume that is a core of its own, for example necrosis.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Core attenuation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean brightness of the core, in the unit of the scan (HU in CT). Ticked: asked for. Not ticked: left to the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean brightness of the core, in the unit of the scan (HU in CT).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Bright rim</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Strength of an enhancing rim around the tumor; 0 is none.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mass effect</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How much the tumor pushes its surroundings aside instead of replacing them; 0 is not at all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Preset</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Starting values for a typical tumor, for example solid, cystic or necrotic. Change them afterwards.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Like tumor</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make the texture like that of this segmented tumor.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>in scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Scan of the tumor to be imitated.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>same scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Seed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The same seed and values give the same tumor again; another seed gives another tumor with the same values.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>New seed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Draw another seed at random.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All features</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All radiomics features that can be asked for, by their PyRadiomics names.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tick a feature to ask for it, then type the value. Values outside of low to high are unusual.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Feature</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>PyRadiomics name</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ask</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ticked: asked for</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Value</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Asked value</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Low</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>5th percentile of tumors of this organ</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>High</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>95th percentile of tumors of this organ</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measured</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measured in the tumor or in the shown result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Generate</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make the selected lesion (Ctrl+Enter).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make all lesions that are not kept yet, in one go.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancel</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stop the work (Esc). Nothing is changed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Variants</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How many results to choose from, each with a seed of its own. Time grows with the number.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How far the work is.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What is going on, or what is missing.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Results to choose from. Select a row to see it in the views; then keep or discard.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>#</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number of the variant</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Seed that gives this variant again</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measured volume in mL</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Plausibility</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How near to real tumors of this organ its features are</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What the model warns of in this result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Keep</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Keep the shown variant and forget the others.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Discard</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Put the scan back as it was before these variants.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Undo</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take the last kept edit back.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Redo</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Do the edit again that was taken back.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What was asked for and what was measured in the result, with the same software and settings.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Property of the tumor</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Requested</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Value that was asked for</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Value measured in the result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Difference</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measured minus requested; colored where it is larger than the tolerance</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Review</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compare the scan and the result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Before</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show the scan as it was.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>After</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show the result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show the result with what changed in color.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Blink</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Switch between scan and result once a second.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side by side</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show scan and result beside each other, linked.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>3D</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show the tumors' surfaces in the 3D view.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Go to lesion</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Move all slices to the center of the selected lesion.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Output</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Where results go, and how to take them out of 3D Slicer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Volume that shows the results. It is made as a copy of the scan with the first result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Create new with the first result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tumors</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segmentation with the tumors of the results, one segment each.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>vtkMRMLSegmentationNode</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What an export would contain.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Export DICOM...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Write the result as a new DICOM series that is marked as synthetic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Export files...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Write volume, segmentation and a manifest of what was done.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Advanced</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Settings of the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Method</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How the tumor is made. Methods that the model was not trained for cannot be chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Steps</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Sampling steps: more are slower and may show finer texture. 10 is usual, and 4 for diffusion.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Guidance</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How strongly the asked texture is followed. 1.5 is usual; high values look artificial.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Candidates</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>So many tumors are made for each variant, each asked for more of what the last had too little of, and the one nearest to what was asked is taken. Time grows with it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Restore the scan's noise</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>On: the tumor is as noisy as its surroundings. Off: it is smooth.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Log</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What the background program says. Copy it when you report a problem.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Messages of the background program, newest last.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy the log, with versions, to the clipboard.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Clear</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty the log.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.annotation</name>
    <message>
      <source>SYNTHETIC - not for clinical use</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.dependencies</name>
    <message>
      <source>All Python packages are installed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Python packages to be installed: {names}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>PyTorch by pip (up to 3 GB). On Windows that build has no GPU: install the extension PyTorch first for one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>PyRadiomics comes with the extension SlicerRadiomics: install that in the Extensions Manager.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>PyTorch, in the build for this computer's GPU, by the PyTorch extension (up to 3 GB).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>By pip: {names}.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.difference</name>
    <message>
      <source>TumorSynth difference</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.method_words</name>
    <message>
      <source>The method under Advanced knows the tumor's form only when it is finished, too late for this.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only a wish: the method makes the form itself. More candidates come nearer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Which methods the model has comes from the background program; start it first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{method}' makes new tumors alone. For {name} choose another method under Advanced.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Brownian bridge</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>latent Brownian bridge (Kim et al.)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Prefer it for everything: it starts from the tissue that is there, and heals tissue as well.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Diffusion</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>few-step diffusion in a mask (DiffTumor)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Prefer it for many small, varied tumors as training data, with 4 steps and hand-made shapes.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Flow in a box</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>rectified flow of tumor and mask (TumorGen)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Prefer it when only a box is known, above all in PET: it makes shape and texture together, to fit each other.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The model '{model}' was not trained for this method.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{method}' needs a box or a point, and {name} is painted. Choose another method under Advanced.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The outline is the box; the tumor's own form comes with the result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{method}' at a point needs a volume. Choose that of {name}, or use a box.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{method}' cannot give {name} a core, a rim or a mass effect. Take them back, or choose another method.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.action_button</name>
    <message>
      <source>Wait for the work that goes on, or cancel it.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.boxes</name>
    <message>
      <source>Tumor box</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.edit_section</name>
    <message>
      <source>What is removed becomes healthy tissue; nothing has to be chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>A moved tumor keeps its form and texture.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This model knows nothing about rims.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The volumes of the series are typed above.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The time points keep the tumor's form.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a lesion in the table, or add one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Wait for the work that goes on, or cancel it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>It keeps its texture.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What is typical comes from the background program; start it first.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.error_display</name>
    <message>
      <source>TumorSynth</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show log</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.feature_words</name>
    <message>
      <source>Volume</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Longest diameter</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Roundness</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Elongation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Heterogeneity</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Coarseness</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Necrotic core</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Rim</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mass effect</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Small nodule</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Solid, round</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Solid, heterogeneous</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Necrotic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Infiltrative, irregular</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cystic, homogeneous</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Middle axis</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Short axis</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Largest distance of two points</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Flatness</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Surface</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Median</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>10th percentile</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>90th percentile</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Entropy</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Attenuation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Uptake</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Signal</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{brightness} of the core</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.features_section</name>
    <message>
      <source>Type a number.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Type its value.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{text}' is no number.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Nothing is known of {feature} yet.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.generate_section</name>
    <message>
      <source>Preparing the scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Starting the background program</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Waiting for the background program</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Reading the scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Shaping the tumor</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Making the texture</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Blending it into the scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measuring the result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Writing the result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Loading the result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Look at the result, then keep or discard it. Generate makes it anew.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{stage}, about {seconds} s left</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Starting...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{stage}, about {minutes} min left</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.input_section</name>
    <message>
      <source>Automatic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The organ cannot be told from this scan. Choose it below.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Automatic: {domain}</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.knob_row</name>
    <message>
      <source>unusual: typical are {low} to {high} {unit}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>typical {low} to {high} {unit}</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.lesion_words</name>
    <message>
      <source>Insert</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Change</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Remove</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Move</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Grow</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>draft</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>running</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>result</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>kept</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{volumes} mL</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{volume} mL</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{lengths} mm</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.lesions_section</name>
    <message>
      <source>No segment is chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no segment in the scene.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose one above, or pick it in a view.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paint one, or load a segmentation.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no visible segment where you have clicked.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Done painting</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Double-click to change the name</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show it in the views</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take it off the table</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Click on a segmented tumor, or paint one.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.log_section</name>
    <message>
      <source>3D Slicer {slicer} (revision {revision}), Python {python}, {system}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Worker: {state}, device {device}</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.operation_choice</name>
    <message>
      <source>Only a segment can be a tumor that is there already: add it from a segment, or paint it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Type volumes in mL like 4, 8, 16.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a lesion in the table, or add one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>mL</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No volume is given.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{part}' is no volume.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.output_section</name>
    <message>
      <source>Folder for the synthetic DICOM series, with the headers of the scan</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder for the synthetic DICOM series, with new headers: the scan's own are not in the DICOM database</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder for volume, segmentation and manifest</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Written to {folder}.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.painting</name>
    <message>
      <source>Painted tumors</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Painted {number}</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.result_rows</name>
    <message>
      <source>Share of real tumors that are at least as unusual; below 1 % is out of distribution.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Removed: </source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{share}, unlike real tumors</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>free</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>More than the tolerance of {limit} in {name}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Core</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Around the core</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.review_section</name>
    <message>
      <source>Choose a lesion in the table, or add one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Nothing tells where {name} is.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What was removed has no place any more.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.setup_section</name>
    <message>
      <source>Python packages are missing. Press Install in the section Setup.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All packages are installed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>TumorSynth needs these packages:

{plan}

This may take some minutes. Install them now?</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Testing...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Another Python does the work. Test tells whether it has what it needs.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only packages of this 3D Slicer can be installed here; install those of the other Python there.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>It is being tested.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>It works: Python {python}, {devices}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>You are asked first. To be installed:
{plan}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The test failed: {error}</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.ways_out</name>
    <message>
      <source>Use one candidate</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Use the CPU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose the device automatically</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Work on a copy with the transform applied</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{scan} transformed</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>panel.worker_section</name>
    <message>
      <source>no device</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>stopped; Generate or Start starts it</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>starting...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Automatic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>CPU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>It runs already.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>It does not run.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Non-commercial use only, of the model and of what is made with it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>GPU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>ready on {device}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>working on {device}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Licence: {licence}.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.session_why</name>
    <message>
      <source>Choose a scan first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Wait for the work that goes on, or cancel it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Nothing is being generated.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a result in the table.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No edit was kept that could be undone.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What was kept before the scene was saved, or very long ago, cannot be undone. The scan itself is as it was.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Nothing has been generated and kept yet.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Generate a result first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a lesion that is a segment.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a lesion in the table, or add one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Add a lesion that is not kept yet.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no result to discard.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No edit was undone.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Keep or discard the result first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{name} is kept. Move a slider or choose an operation to change it once more.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Type the volumes that {name} is to have, in mL.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{name} is to grow, which makes a series of its own. Generate it alone.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose what the scan shows, under Input: it may be {domains}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{method}': {reason} Choose another method under Advanced.</source>
      <translation type="unfinished" />
    </message>
  </context>
  <context>
    <name>TumorSynthSlicer.worker_notice</name>
    <message>
      <source>The bundle '{bundle}' could not be loaded. {reason}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{asked}' was asked for, but the worker uses '{device}'. {reason}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No GPU was found: the worker uses the CPU, which takes longer.</source>
      <translation type="unfinished" />
    </message>
  </context>
</TS>
