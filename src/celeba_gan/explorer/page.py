"""The page in Gradio: components, and which of them an event reads and writes."""

import functools
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import gradio as gr

from celeba_gan.explorer import faces, markup
from celeba_gan.explorer.handling import refusing, take_upload
from celeba_gan.explorer.looks import looks_of
from celeba_gan.explorer.models import LoadedModel, Models
from celeba_gan.explorer.png import read_recipe
from celeba_gan.explorer.recipe import MOST_NUMBER, MOST_SEED, ExplorerError, Recipe
from celeba_gan.explorer.session import ATTRIBUTES, CLOSED_FORM, Controls, Session, requested

HERE: Final = Path(__file__).parent
ONE, GRID = "One face", f"Grid of {faces.GRID}"
_LIVE: Final[dict[str, Any]] = {  # answered at once, and the last event of a drag is never lost
    "queue": False,
    "preprocess": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
}
_SLOW: Final[dict[str, Any]] = {"concurrency_limit": 1, "concurrency_id": "slow", "show_progress": "full"}


class Page:
    """One page for all visitors; what a visitor sees is in a Session."""

    def __init__(self, models: Models, first: str) -> None:
        """Lays the page out with a face of the model `first`.

        Raises:
            ExplorerError: It cannot be loaded.
        """
        self.models = models
        model = models.load(first)
        recipe = faces.new_recipe(model)
        with gr.Blocks(title="Face explorer", analytics_enabled=False, delete_cache=(600, 600)) as self.blocks:
            self.session = gr.State(Session(recipe))
            self._lay_out(model, recipe)
            self._connect()

    # --- layout -----------------------------------------------------------------------------------------------------

    def _lay_out(self, model: LoadedModel, recipe: Recipe) -> None:
        with gr.Row(elem_id="head"):
            with gr.Column(scale=3, min_width=260):
                self.about = gr.HTML(markup.about(model))
            self.model = gr.Dropdown(
                list(self.models.offers), value=model.name, label="Model", elem_id="model", scale=1, min_width=240
            )
        with gr.Row(elem_id="work"):
            with gr.Column(scale=5, min_width=320, elem_id="stage-column"):
                script = (HERE / "page.js").read_text(encoding="utf-8")
                self.stage = gr.HTML(self._stage(model, ONE, recipe), elem_id="stage", js_on_load=script)
                with gr.Row(elem_id="steps"):
                    self.previous = gr.Button("← Previous", min_width=80)
                    self.next = gr.Button("Next →", min_width=80)
                    self.shuffle = gr.Button("Random", min_width=80)
                with gr.Row(elem_id="keep"):
                    self.keep_a = gr.Button("Keep as A", min_width=80)
                    self.keep_b = gr.Button("Keep as B", min_width=80)
            with gr.Column(scale=6, min_width=320), gr.Tabs(elem_id="tools"):
                with gr.Tab("Adjust"):
                    self._lay_out_sliders(model, recipe)
                with gr.Tab("Blend"):
                    self._lay_out_blend(script)
                with gr.Tab("Photo"):
                    self._lay_out_photograph()
                with gr.Tab("Nearest"):
                    gr.HTML(
                        '<p class="note">Is this face new, or a copy? These are the training images that are most like '
                        "it.</p>"
                    )
                    self.search = gr.Button("Find the nearest training images", variant="primary")
                    self.neighbours = gr.HTML("", elem_classes="panel", min_height=60)
                with gr.Tab("Open"):
                    gr.HTML(
                        '<p class="note">A downloaded face has its recipe inside. Drop it here, and the sliders return '
                        "to where they were.</p>"
                    )
                    self.saved = gr.File(
                        label="A face saved from this page (PNG)", file_types=[".png"], elem_id="saved", height=180
                    )

    def _lay_out_sliders(self, model: LoadedModel, recipe: Recipe) -> None:
        with gr.Row():
            self.view = gr.Radio([ONE, GRID], value=ONE, label="View", elem_id="view", min_width=290, scale=3)
            self.seed = gr.Number(
                recipe.seed, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, elem_id="seed", min_width=100
            )
            self.number = gr.Number(
                recipe.number,
                label="Face",
                precision=0,
                minimum=0,
                maximum=MOST_NUMBER,
                elem_id="number",
                min_width=100,
            )
        self.truncation = gr.Slider(
            0,
            1,
            value=recipe.truncation,
            step=0.01,
            label="Truncation",
            info="Lower: more typical faces, and fewer different ones",
            elem_id="truncation",
            buttons=[],
        )
        looks = looks_of(model, recipe)
        with gr.Group(**looks["label_group"]) as self.label_group:
            self.is_labelled = gr.Checkbox(**looks["is_labelled"], elem_id="is-labelled")
            self.labels = gr.CheckboxGroup(**looks["labels"], elem_id="labels")
            self.label = gr.Dropdown(**looks["label"], elem_id="label")
        with gr.Row(elem_id="directions-head"):
            self.legend = gr.HTML(**looks["legend"], min_width=200)
            self.reset = gr.Button("Reset", size="sm", min_width=90, scale=0, elem_id="reset", **looks["reset"])
        self.sliders: list[gr.Slider] = []
        headings = ("Attributes, the best predicted first", "Closed form, the strongest first")
        self.accordions = []
        for part, (heading, count) in enumerate(zip(headings, (ATTRIBUTES, CLOSED_FORM), strict=True)):
            accordion = gr.Accordion(heading, open=part == 0, **looks["accordions"][part])
            with accordion, gr.Row(elem_classes="directions"):
                first = len(self.sliders)
                self.sliders += [gr.Slider(**looks["sliders"][first + place], buttons=[]) for place in range(count)]
            self.accordions.append(accordion)

    def _lay_out_blend(self, script: str) -> None:
        gr.HTML(
            '<p class="note">Keep two faces with the buttons below the picture, then move from one to the other along '
            "a great circle of the latent space.</p>"
        )
        self.kept = gr.HTML(markup.kept({}), elem_id="kept", js_on_load=script)
        self.fraction = gr.Slider(
            0,
            1,
            value=0,
            step=0.01,
            label="From A to B",
            elem_id="fraction",
            interactive=True,
            buttons=[],
            visible=False,
        )

    def _lay_out_photograph(self) -> None:
        gr.HTML(
            '<p class="note">Finds the face nearest to a photograph: frame it like the training images, the face in '
            "the middle. This takes seconds for small models, and minutes for large ones. The photograph stays on this "
            "computer; the uploaded copy is deleted at once.</p>"
        )
        self.photograph = gr.File(label="Photograph", file_types=["image"], elem_id="photograph", height=180)
        self.projected = gr.HTML("", elem_classes="panel", min_height=60)

    # --- events -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.settings = [
            self.seed, self.number, self.truncation, self.is_labelled, self.labels, self.label, *self.sliders,
        ]  # fmt: skip
        inputs = [self.session, self.model, self.view, *self.settings]
        seen = [self.session, self.stage]
        everything = [*seen, self.view, *self.settings]
        live: list[Any] = [self.truncation, self.view, *self.sliders]
        gr.on([one.input for one in live], self.change, inputs, seen, api_name="change", **_LIVE)
        gr.on(
            [self.labels.input, self.label.input],
            self.label_face,
            inputs,
            [self.is_labelled, *seen],
            api_name="label",
            **_LIVE,
        )
        self.is_labelled.input(self.fix_labels, inputs, [self.labels, *seen], api_name="fix_labels", **_LIVE)
        gr.on([self.seed.input, self.number.input], self.draw, inputs, seen, api_name="draw", **_LIVE)
        for button, step in ((self.previous, -1), (self.next, 1)):
            button.click(functools.partial(self.step, step), inputs, [self.number, *seen], api_name=False, **_LIVE)
        self.shuffle.click(self.random, inputs, [self.seed, self.number, *seen], api_name="random", **_LIVE)
        self.stage.pick(self.pick, inputs, [self.number, self.view, *seen], api_name="pick", **_LIVE)
        self.reset.click(self.put_back, inputs, everything, api_name="reset", **_LIVE)
        for name, button in (("A", self.keep_a), ("B", self.keep_b)):
            keep = functools.partial(self.keep, name)
            seats = [self.session, self.kept, self.fraction]
            button.click(keep, [self.session], seats, api_name=False, queue=False, show_progress="hidden")
        self.fraction.input(
            self.blend, [self.session, self.model, self.fraction], everything, api_name="blend", **_LIVE
        )
        self.kept.step(
            self.blend_at, [self.session, self.model], [self.fraction, *everything], api_name="blend_at", **_LIVE
        )
        structure = [
            self.about, self.kept, self.fraction, self.projected, self.neighbours, self.label_group, self.legend,
            self.reset, *self.accordions,
        ]  # fmt: skip
        # Gradio covers what an event writes with its progress, and after a refusal with the word Error: only the panels
        # below the two slow tools may be covered, since everything else must stay in use.
        self.model.input(
            self.choose,
            [self.session, self.model],
            [*everything, *structure],
            api_name="model",
            preprocess=False,
            show_progress="hidden",
        )
        projected = self.photograph.upload(
            self.project,
            [self.session, self.photograph],
            [self.projected, *everything],
            api_name="project",
            show_progress_on=self.projected,
            **_SLOW,
        )
        opened = self.saved.upload(
            self.open,
            [self.session, self.saved],
            [self.model, *everything, *structure],
            api_name="open",
            show_progress="hidden",
        )
        for done, box in ((projected, self.photograph), (opened, self.saved)):
            for follow in (done.success, done.failure):  # the box is ready for the next file
                follow(lambda: None, [], [box], api_name=False, show_progress="hidden")
        self.search.click(
            self.find,
            [self.session],
            [self.neighbours],
            api_name="neighbours",
            show_progress_on=self.neighbours,
            **_SLOW,
        )
        self.blocks.load(self.list_models, [], [self.model], api_name=False, show_progress="hidden")

    @refusing
    def change(self, session: Session, name: Any, view: Any, *values: Any) -> tuple[Session, str]:
        """The same face with other settings."""
        model = self.models.load(name)
        return self._show(session, model, view, requested(model, _controls(values), session.shown))

    @refusing
    def label_face(self, session: Session, name: Any, view: Any, *values: Any) -> tuple[bool, Session, str]:
        """The same face with the labels that were just picked: to pick one is to fix them."""
        model = self.models.load(name)
        recipe = requested(model, replace(_controls(values), is_labelled=True), session.shown)
        return True, *self._show(session, model, view, recipe)

    @refusing
    def fix_labels(self, session: Session, name: Any, view: Any, *values: Any) -> tuple[Any, Session, str]:
        """The same face with fixed labels or with drawn ones; then no label stays ticked, since none has an effect."""
        model = self.models.load(name)
        recipe = requested(model, _controls(values), session.shown)
        return looks_of(model, recipe)["labels"]["value"], *self._show(session, model, view, recipe)

    @refusing
    def draw(self, session: Session, name: Any, view: Any, *values: Any) -> Any:
        """The face of a seed and a number."""
        if values[0] is None or values[1] is None:  # the box is empty while a number is typed
            return gr.skip()
        model = self.models.load(name)
        return self._show(session, model, view, requested(model, _controls(values)))

    @refusing
    def step(self, by: int, session: Session, name: Any, view: Any, *values: Any) -> Any:
        """The next face, or that before; in the grid the next ones."""
        model = self.models.load(name)
        here = requested(model, _controls(values)).number
        number = min(max(here + by * (faces.GRID if view == GRID else 1), 0), MOST_NUMBER)
        recipe = requested(model, replace(_controls(values), number=number))
        return number, *self._show(session, model, view, recipe)

    @refusing
    def random(self, session: Session, name: Any, view: Any, *values: Any) -> Any:
        """A face of a random seed."""
        model = self.models.load(name)
        seed = secrets.randbelow(100_000)
        recipe = requested(model, replace(_controls(values), seed=seed, number=0))
        return seed, 0, *self._show(session, model, view, recipe)

    @refusing
    def pick(self, session: Session, name: Any, view: Any, event: gr.EventData, *values: Any) -> Any:
        """A face of the grid, alone."""
        model = self.models.load(name)
        number = event._data.get("number") if isinstance(event._data, dict) else None
        recipe = requested(model, replace(_controls(values), number=number))
        return recipe.number, ONE, *self._show(session, model, ONE, recipe)

    @refusing
    def put_back(self, session: Session, name: Any, view: Any, *values: Any) -> Any:
        """The same face without moves, truncation and chosen labels."""
        model = self.models.load(name)
        recipe = requested(model, _controls(values), session.shown)
        recipe = recipe.model_copy(update={"moves": {}, "truncation": 1.0, "labels": None})
        return self._restored(session, model, recipe, view)

    @refusing
    def keep(self, slot: str, session: Session) -> Any:
        """Keeps the shown face as A or B."""
        session = session.keep(slot)
        model = self.models.load(session.face().model)
        strip, fraction = self._kept(session, model)
        # The picture is the face just kept, and so is the slider's end.
        return session, strip, {**fraction, "value": 0 if slot == "A" else 1}

    @refusing
    def blend(self, session: Session, name: Any, fraction: Any) -> Any:
        """The face on the way from A to B."""
        model = self.models.load(name)
        recipe = faces.between(model, *session.pair(), fraction)
        return self._restored(session, model, recipe, ONE)

    @refusing
    def blend_at(self, session: Session, name: Any, event: gr.EventData) -> Any:
        """A face of the strip."""
        fraction: Any = event._data.get("fraction") if isinstance(event._data, dict) else None
        model = self.models.load(name)
        recipe = faces.between(model, *session.pair(), fraction)
        return float(fraction), *self._restored(session, model, recipe, ONE)

    @refusing
    def choose(self, session: Session, name: Any) -> Any:
        """Another model, with the same seed and number."""
        model = self.models.load(name)
        before = session.shown
        if before is not None and before.model == name:  # the box was only left; that is an event, too
            return gr.skip()
        recipe = (
            faces.new_recipe(model)
            if before is None
            else faces.new_recipe(model, seed=before.seed, number=before.number, truncation=before.truncation)
        )
        return self._opened(Session(), model, recipe)

    @refusing
    def open(self, session: Session, file: str | None) -> Any:
        """The face of a saved picture, with all its settings."""
        name, data = take_upload(file)
        recipe = read_recipe(data, name)
        owner = self.models.owner(recipe)
        model = self.models.load(owner)
        if not model.owns(recipe):
            raise ExplorerError(f"{owner} has changed since {name} was saved: its training has gone on")
        faces.check(model, recipe)
        kept = session if session.shown is not None and model.owns(session.shown) else Session()
        return model.name, *self._opened(kept, model, recipe.model_copy(update={"model": model.name}))

    @refusing
    def project(self, session: Session, file: str | None) -> Any:
        """The face nearest to a photograph."""
        _, data = take_upload(file)
        before = session.face()
        model = self.models.load(before.model)
        found = faces.project_photograph(model, data)
        recipe = found.recipe.model_copy(update={"seed": before.seed, "number": before.number})
        return markup.projected(found), *self._restored(session, model, recipe, ONE)

    @refusing
    def find(self, session: Session) -> str:
        """The training images nearest to the shown face."""
        recipe = session.face()
        model = self.models.load(recipe.model)
        if model.training_images is None:
            raise ExplorerError(
                f"The images that {model.name} was trained on are not in this project: none of those in "
                "data/05_model_input has their content"
            )
        image = faces.picture(model, recipe)
        return markup.neighbours(model, image, model.training_images.nearest(image))

    @refusing
    def list_models(self) -> Any:
        """The models there are now."""
        names = self.models.refresh()
        if self.models.trouble:
            gr.Warning(self.models.trouble)
        return gr.Dropdown(choices=names)

    # --- what events write ------------------------------------------------------------------------------------------

    def _show(self, session: Session, model: LoadedModel, view: Any, recipe: Recipe) -> tuple[Session, str]:
        return replace(session, shown=recipe), self._stage(model, view, recipe)

    def _stage(self, model: LoadedModel, view: Any, recipe: Recipe) -> str:
        if view == GRID:
            recipes = faces.grid_recipes(recipe)
            return markup.grid(faces.pictures(model, recipes), recipes)
        if view != ONE:
            raise ExplorerError(f"The view is {ONE!r} or {GRID!r}, not {str(view)[:40]!r}")
        return markup.one_face(faces.picture(model, recipe), recipe)

    def _restored(self, session: Session, model: LoadedModel, recipe: Recipe, view: Any) -> tuple[Any, ...]:
        """For `everything`: the face, and the controls where its recipe has them."""
        looks = looks_of(model, recipe)
        session, stage = self._show(session, model, view, recipe)
        values: list[Any] = [recipe.seed, recipe.number, recipe.truncation]
        values += [looks[name]["value"] for name in ("is_labelled", "labels", "label")]
        sliders = [
            gr.update(value=one["value"], minimum=one["minimum"], maximum=one["maximum"])
            if one["visible"]
            else gr.skip()
            for one in looks["sliders"]
        ]
        return session, stage, view, *values, *sliders

    def _opened(self, session: Session, model: LoadedModel, recipe: Recipe) -> tuple[Any, ...]:
        """For `everything` and what depends on the model."""
        looks = looks_of(model, recipe)
        session, stage, view, *values = self._restored(session, model, recipe, ONE)
        chosen = [gr.update(**looks[name]) for name in ("is_labelled", "labels", "label")]
        sliders = [gr.update(**one) for one in looks["sliders"]]
        structure = [gr.update(**looks[name]) for name in ("label_group", "legend", "reset")]
        structure += [gr.update(**one) for one in looks["accordions"]]
        return (
            session, stage, view, *values[:3], *chosen, *sliders,
            markup.about(model), *self._kept(session, model), "", "", *structure,
        )  # fmt: skip

    def _kept(self, session: Session, model: LoadedModel) -> tuple[str, Any]:
        """The faces A and B, and the slider between them."""
        if len(session.kept) < 2:
            images = {name: faces.picture(model, recipe) for name, recipe in session.kept.items()}
            return markup.kept(images), gr.update(visible=False)
        return markup.kept({}, faces.strip(model, *session.pair())), gr.update(visible=True)


def _controls(values: tuple[Any, ...]) -> Controls:
    seed, number, truncation, is_labelled, labels, label, *strengths = values
    return Controls(seed, number, truncation, is_labelled, labels, label, strengths)
