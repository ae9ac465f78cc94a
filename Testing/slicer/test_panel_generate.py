"""The part of the panel that generates: what can be pressed, what is shown of the work and of its results."""

from panel_fakes import CT, PanelCase, variant

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.panel.generate_section import GenerateSection
from TumorSynthSlicer.panel.tables import OFF_COLOR

PLAUSIBLE = {"plausibility": 0.44, "out_of_distribution": False}
STRANGE = {"plausibility": 0.002, "out_of_distribution": True}


class GenerateTest(PanelCase):
    """Generate, progress, variants, keep and discard."""

    def setUp(self) -> None:
        super().setUp()
        self.section = GenerateSection(self.ui, self.session)

    def refresh(self, state: str, *possible: str) -> None:
        """Show a state in which only some actions are possible."""
        actions = ("generate", "generateAll", "cancel", "keep", "discard", "undo", "redo")
        self.session.state = state
        self.session.refused = {action: f"No {action} now." for action in actions if action not in possible}
        self.section.refresh()

    def testADisabledButtonSaysWhy(self) -> None:
        self.session.refused = {"generate": "Choose a scan."}
        self.section.refresh()
        self.assertFalse(self.ui.generateButton.enabled)
        self.assertIn("Choose a scan.", self.ui.generateButton.toolTip)
        self.assertEqual(self.ui.statusLabel.text, "Choose a scan.")
        self.session.refused = {}
        self.section.refresh()
        self.assertTrue(self.ui.generateButton.enabled)
        self.assertNotIn("Choose a scan.", self.ui.generateButton.toolTip)
        self.assertIn("Ctrl+Enter", self.ui.generateButton.toolTip)

    def testOneButtonIsTheMainOne(self) -> None:
        main = {"ready": ("generate",), "running": ("cancel",), "result": ("keep", "generate", "discard")}
        for state, possible in main.items():
            self.refresh(state, *possible)
            self.assertIs(self.section.primary, self.section.buttons[possible[0]].button)
        self.refresh("noScan")
        self.assertIsNone(self.section.primary)

    def testWhatTheSessionDoesNotKnowHindersToo(self) -> None:
        section = GenerateSection(self.ui, self.session, lambda: "Install it first.")
        section.refresh()
        self.assertFalse(self.ui.generateButton.enabled)
        self.assertIn("Install it first.", self.ui.generateButton.toolTip)
        self.assertEqual(self.ui.statusLabel.text, "Install it first.")
        self.assertTrue(self.ui.undoButton.enabled)

    def testButtonsCallTheSession(self) -> None:
        self.section.refresh()
        for name in ("keep", "discard", "undo", "redo", "cancel", "generate"):
            getattr(self.ui, f"{name}Button").click()
        self.assertEqual(self.session.calls, [(name,) for name in ("keep", "discard", "undo", "redo", "cancel", "generate")])

    def testAllButWhatIsKeptIsGenerated(self) -> None:
        keys = [self.session.lesions.add("point").key for _ in range(3)]
        self.session.lesions.update(keys[1], state="kept")
        self.section.refresh()
        self.ui.generateAllButton.click()
        self.assertEqual(self.session.calls, [("generate", [keys[0], keys[2]])])

    def testTheShortcutDoesNothingThatIsNotPossible(self) -> None:
        self.refresh("noScan")
        self.section.buttons["generate"].press()
        self.section.buttons["cancel"].press()
        self.assertEqual(self.session.calls, [])

    def testProgressIsToldInPlainWords(self) -> None:
        self.refresh("running", "cancel")
        self.session.progressed.emit("sampling", 0.62, 2.2)
        self.assertEqual(self.ui.progressBar.value, 62)
        self.assertEqual(self.ui.statusLabel.text, "Making the texture, about 2 s left")
        self.session.progressed.emit("sampling", 0.63, 150.0)
        self.assertIn("2 min left", self.ui.statusLabel.text)
        self.session.progressed.emit("writing", 0.99, None)
        self.assertEqual(self.ui.statusLabel.text, "Writing the result")
        self.assertFalse(self.ui.variantsSpin.enabled)
        self.refresh("ready", "generate")
        self.assertEqual(self.ui.progressBar.value, 0)
        self.assertTrue(self.ui.variantsSpin.enabled)

    def testVariantsAreListedAndChosen(self) -> None:
        self.session.variants = [
            variant(7, measured={"shape_VoxelVolume": 8040.0}, quality=PLAUSIBLE),
            variant(8, "2", measured={"shape_VoxelVolume": 7950.0}, quality=STRANGE, warnings=["Out of distribution: odd."]),
        ]
        self.session.shown = 0
        self.refresh("result", "keep")
        table = self.ui.variantTable
        self.assertEqual(self.texts(table)[0], ["1", "7", "8.04 mL", "44 %"])
        self.assertEqual(self.texts(table)[1][:3], ["2", "8", "7.95 mL"])
        self.assertIn("unlike real tumors", table.item(1, 3).text())
        self.assertEqual(table.item(1, 3).foreground().color().name(), OFF_COLOR)
        self.assertEqual(table.currentRow(), 0)
        self.assertEqual(self.session.calls, [])
        table.setCurrentCell(1, 0)
        self.assertEqual(self.session.calls, [("show", 1)])

    def testWarningsOfTheShownVariantAreRead(self) -> None:
        self.session.variants = [variant(1), variant(2, warnings=["<b>Edge</b> near.", "Twice.", "Twice."])]
        self.session.shown = 0
        self.refresh("result", "keep")
        self.assertEqual(self.ui.warningsLabel.text, "")
        self.assertFalse(self.ui.warningsLabel.isVisibleTo(self.widget))
        self.session.shown = 1
        self.refresh("result", "keep")
        self.assertEqual(self.ui.warningsLabel.text, "• <b>Edge</b> near.\n• Twice.")
        self.assertTrue(self.ui.warningsLabel.isVisibleTo(self.widget))

    def testRequestedIsComparedWithMeasured(self) -> None:
        self.session.domain, self.session.domains = "abdomen-ct", [CT]
        self.session.ranges = {"firstorder_Mean": {"low": 0.0, "middle": 30.0, "high": 100.0}}
        self.session.variants = [
            variant(
                1,
                requested={"shape_VoxelVolume": 8000.0, "shape_Sphericity": 0.8, "firstorder_Mean": 45.0},
                measured={
                    "shape_VoxelVolume": 8005.0,
                    "shape_Sphericity": 0.7986,
                    "firstorder_Mean": 33.0,
                    "firstorder_Variance": 100.0,
                },
            )
        ]
        self.session.shown = 0
        self.refresh("result", "keep")
        table = self.ui.comparisonTable
        rows = {row[0]: row[1:] for row in self.texts(table)}
        self.assertEqual(rows["Volume"], ["8 mL", "8.01 mL", "+0.005 mL"])
        self.assertEqual(rows["Roundness"], ["0.8", "0.799", "-0.001"])
        self.assertEqual(rows["Attenuation"], ["45 HU", "33 HU", "-12 HU"])
        self.assertEqual(rows["Heterogeneity"], ["free", "10 HU", ""])
        colors = {
            table.item(row, 0).text(): table.item(row, 3).foreground().color().name() == OFF_COLOR
            for row in range(table.rowCount)
        }
        self.assertEqual(colors, {"Volume": False, "Roundness": False, "Attenuation": True, "Heterogeneity": False})

    def testWhatIsEqualButForRoundingDoesNotDiffer(self) -> None:
        volume = {"shape_VoxelVolume": 2000.0}
        self.session.variants = [variant(1, requested=volume, measured={"shape_VoxelVolume": 2000.0000000000005})]
        self.session.shown = 0
        self.refresh("result", "keep")
        self.assertEqual(self.texts(self.ui.comparisonTable)[0][3], "0 mL")

    def testTheSelectedOneOfSeveralLesionsIsCompared(self) -> None:
        left, right = (
            {"name": name, "requested": {}, "measured": {"shape_VoxelVolume": volume}, "quality": PLAUSIBLE}
            for name, volume in (("left", 4000.0), ("right", 2000.0))
        )
        self.session.lesions.add("point", name="right")
        self.session.variants = [variant(3, lesions=[left, right])]
        self.session.shown = 0
        self.refresh("result", "keep")
        self.assertEqual(self.texts(self.ui.variantTable)[0][2], "6 mL")
        self.assertEqual(self.texts(self.ui.comparisonTable), [["Volume", "free", "2 mL", ""]])
        self.session.lesions.add("point", name="new")
        self.section.refresh()
        self.assertEqual([row[0] for row in self.texts(self.ui.comparisonTable)], ["left: Volume", "right: Volume"])

    def testAnErrorStaysUntilTheNextStep(self) -> None:
        self.refresh("ready", "generate")
        self.section.showError(TumorSynthError("image.nan", "The scan has holes.", "Fill them."))
        self.section.refresh()
        self.assertEqual(self.ui.statusLabel.text, "The scan has holes. Fill them.")
        self.assertIn(OFF_COLOR, self.ui.statusLabel.styleSheet)
        self.refresh("running", "cancel")
        self.assertNotIn("holes", self.ui.statusLabel.text)
        self.assertNotIn(OFF_COLOR, self.ui.statusLabel.styleSheet)

    def testAnErrorOfAButtonGoesWhereAllErrorsGo(self) -> None:
        def keep() -> None:
            raise TumorSynthError("x", "It broke.")

        self.session.keep = keep
        told: list[TumorSynthError] = []
        self.session.failed.connect(told.append)
        section = GenerateSection(self.ui, self.session)
        section.refresh()
        self.ui.keepButton.click()
        self.assertEqual([error.message for error in told], ["It broke."])
