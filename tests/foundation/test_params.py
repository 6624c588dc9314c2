"""What is typed after --params, and what arrives."""

from typing import Any

import click
import pytest
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import pipelines
from kedro.validation import TypeExtractor

from celeba_gan.foundation.params import ParamsError, kind_of, params_option, read_params, spell_param
from kedro_here import configure

TEXTS = [
    "1.10", "0123", "no", "on", "null", "~", "1e3", "1_000", "0x1F", "12:30", "2024-01-01", "=", "a=b", "*x", "&x",
    "%x", "@x", "!x", "`x", "|", ">", "-", "- a", "? a", "a: b", "my faces #2", "#2", "{a", "[2024] faces",
    "'s Gravenhage", 'say "x"', "C:\\new\\table", "naïve", "a  b", "a,b", "it's, all", "'quoted'", '"quoted"',
    "a, b=c", "$x", "{}", "[]",
]  # fmt: skip


@pytest.fixture(scope="module")
def sections() -> dict[str, type]:
    configure()
    return TypeExtractor(dict(pipelines)).extract_types_from_pipelines()


def test_which_parameters_are_text(sections: dict[str, type]) -> None:
    texts = (
        "dataset", "experiment", "source.path", "source.labels", "train.init_from", "train.precision",
        "evaluate.model", "evaluate.compare_with", "evaluate.checkpoint", "evaluate.inception_weights",
        "evaluate.features.path", "evaluate.features.output", "preprocess.background",
    )  # fmt: skip
    others = (
        "train", "source", "train.kimg", "train.compile", "train.resume", "preprocess.crop", "train.network", "trian",
        "train.nothing", "dataset.x", "train.kimg.x", "",
    )  # fmt: skip
    names = ("train.condition.attributes", "generate.labels", "preprocess.condition_on")
    kinds = {"text": texts, "names": names, "other": others}
    assert {name: kind_of(name, sections) for some in kinds.values() for name in some} == {
        name: kind for kind, some in kinds.items() for name in some
    }


@pytest.mark.parametrize("text", [text for text in TEXTS if "," not in text and text[0] not in "'\""])
def test_text_arrives_as_typed(text: str, sections: dict[str, type]) -> None:
    typed = f"experiment={text},train.kimg=5,evaluate.model= {text} ,source.path={text}"
    assert read_params(typed, sections) == {
        "experiment": text,
        "train": {"kimg": 5},
        "evaluate": {"model": text},
        "source": {"path": text},
    }


@pytest.mark.parametrize("text", TEXTS)
def test_text_as_we_spell_it_arrives_also_where_all_values_are_yaml(text: str, sections: dict[str, type]) -> None:
    spelled = spell_param("evaluate.model", text)
    assert read_params(f"{spelled},train.kimg=5", sections) == {"evaluate": {"model": text}, "train": {"kimg": 5}}
    if "," not in text:  # kedro viz splits there
        assert _split_params(click.Context(click.Command("run")), None, spelled) == {"evaluate": {"model": text}}


def test_quotes_hold_commas_and_brackets_hold_lists(sections: dict[str, type]) -> None:
    typed = "source.path='D/my faces, 2', preprocess.condition_on=[Male, \"a,b\"],"
    typed += "train.network.dcgan={width: 4, max_width: 8}"
    assert read_params(typed, sections) == {
        "source": {"path": "D/my faces, 2"},
        "preprocess": {"condition_on": ["Male", "a,b"]},
        "train": {"network": {"dcgan": {"width": 4, "max_width": 8}}},
    }
    assert read_params("experiment='it''s'", sections) == {"experiment": "it's"}
    assert read_params('experiment="a\\nb"', sections) == {"experiment": "a\\nb"}
    assert read_params("experiment='open", sections) == {"experiment": "'open"}


def test_other_values_stay_yaml(sections: dict[str, type]) -> None:
    typed = "train.kimg=1e3,train.resume=no,train.compile=auto,train.weight_clip=null,preprocess.crop=none,train.seed=7"
    train = {"kimg": 1000.0, "resume": False, "compile": "auto", "weight_clip": None, "seed": 7}
    assert read_params(typed, sections) == {"train": train, "preprocess": {"crop": "none"}}
    assert read_params("", sections) == {}
    assert read_params("experiment=", sections) == {"experiment": None}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "source.path=/data/a,b",
            "'b' in --params is not name=value. A comma ends a value; a value with a comma goes in",
        ),
        ("experiment", "'experiment' in --params is not name=value"),
        ("=x", "is not name=value"),
        ("experiment=a,experiment=b", "experiment is given twice"),
        ("experiment=${x}", "rename '${x}'"),
        ("train.kimg=%x", "train.kimg in --params has a value that is not YAML, '%x'"),
        ("train.kimg=*x", "train.kimg in --params has a value that is not YAML"),
        ("train.kimg=[1", "train.kimg in --params has a value that is not YAML"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_to_type(typed: str, message: str, sections: dict[str, type]) -> None:
    with pytest.raises(ParamsError) as caught:
        read_params(typed, sections)
    assert message in str(caught.value)


@pytest.mark.parametrize("typed", ["", "''", '""', "[]", " "])
def test_names_can_be_empty(typed: str, sections: dict[str, type]) -> None:
    found = read_params(f"generate.labels={typed},preprocess.condition_on={typed}", sections)
    for section, field in (("generate", "labels"), ("preprocess", "condition_on")):
        settings = sections[section].model_validate(found[section])  # type: ignore[attr-defined]
        assert getattr(settings, field) == []


@pytest.mark.parametrize("value", [5, 0.00001, True, None, ["Male", "a,b"], {"width": 4}])
def test_other_values_as_we_spell_them_arrive(value: object, sections: dict[str, type]) -> None:
    assert read_params(spell_param("train.anything", value), sections) == {"train": {"anything": value}}


def test_an_option_is_quoted_for_the_shell() -> None:
    assert params_option({"experiment": "mine"}) == "--params experiment=mine"
    assert (
        params_option({"experiment": "1.10", "dataset": "a b"})
        == "--params 'experiment='\"'\"'1.10'\"'\"',dataset=a b'"
    )


def params_of(*arguments: str) -> Any:
    from celeba_gan.cli import run

    return run.make_context("kedro run", list(arguments)).params["params"]


def test_kedro_run_reads_them_so(sections: dict[str, type]) -> None:
    assert params_of("--params", "experiment=1.10,dataset=0123") == {"experiment": "1.10", "dataset": "0123"}
    assert params_of() == {}
    with pytest.raises(click.UsageError, match="a value with a comma goes in quotes"):
        params_of("--params", "source.path=a,b")
