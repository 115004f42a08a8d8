import sys
from importlib.metadata import EntryPoint

import pytest

from alignment import registry as registry_module
from alignment.errors import RequestError
from alignment.registry import Registry, files_behind, is_file_reference, load_from_file


@pytest.fixture
def shapes() -> Registry:
    return Registry("shape", {"path": "pathlib:Path"}, summaries={"path": "a path"})


def test_names_come_without_imports(shapes, monkeypatch):
    points = [
        EntryPoint("shape.far", "no_such_package.module:build", "brain_alignment_bench"),
        EntryPoint("colour.red", "no_such_package.module:red", "brain_alignment_bench"),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points)
    shapes.register("near")(lambda: 1)
    assert shapes.names() == ("path", "far", "near")
    assert "far" in shapes and "red" not in shapes
    assert shapes.summary("path") == "a path"
    assert "no_such_package" in shapes.summary("far")
    with pytest.raises(RequestError, match=r"shape 'far'.*ModuleNotFoundError: No module named 'no_such_package'"):
        shapes.get("far")


def test_entry_point_is_loaded_and_two_of_a_name_are_refused(shapes, monkeypatch):
    points = [EntryPoint("shape.far", "math:sqrt", "brain_alignment_bench")]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points)
    assert shapes.get("far")(4) == 2
    points.append(EntryPoint("shape.far", "math:cos", "brain_alignment_bench"))
    with pytest.raises(RequestError, match="several plug-ins"):
        shapes.get("far")


def test_unknown_name_has_near_misses(shapes):
    shapes.register("triangle")(lambda: 3)
    with pytest.raises(RequestError, match=r"unknown shape 'trianle'; did you mean triangle\?"):
        shapes.get("trianle")


def test_decorator_replaces_itself_but_no_built_in(shapes):
    shapes.register("a")(lambda: 1)
    shapes.register("a")(lambda: 2)
    assert shapes.get("a")() == 2
    with pytest.raises(RequestError, match="built in"):
        shapes.register("path")
    with pytest.raises(RequestError, match="reads like a file"):
        shapes.register("./a.py")


def test_file_is_imported_once_and_afresh_when_edited(tmp_path):
    file = tmp_path / "mine.py"
    (tmp_path / "beside.py").write_text("VALUE = 5\n")
    file.write_text("from beside import VALUE\ndef build():\n    return VALUE\n")
    path_before = list(sys.path)
    first = load_from_file(f"{file}:build")
    assert first() == 5 and load_from_file(f"{file}:build").__wrapped__ is first.__wrapped__
    assert files_behind(f"{file}:build") == (file, tmp_path / "beside.py")
    (tmp_path / "beside.py").write_text("VALUE = 55\n")
    assert load_from_file(f"{file}:build")() == 55
    file.write_text("def build():\n    return 6\n")
    assert load_from_file(f"{file}:build")() == 6
    assert files_behind(f"{file}:build") == (file,)
    assert sys.path == path_before and not {"mine", "beside"} & set(sys.modules)


def test_each_file_has_the_modules_beside_it_to_itself(tmp_path):
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder / "parts").mkdir(parents=True)
        (tmp_path / folder / "parts" / "__init__.py").write_text("")
        (tmp_path / folder / "parts" / "late.py").write_text(f"VALUE = {value}0\n")
        (tmp_path / folder / "beside.py").write_text(f"VALUE = {value}\n")
        content = "from beside import VALUE\ndef build():\n    import parts.late\n    return VALUE + parts.late.VALUE\n"
        (tmp_path / folder / "net.py").write_text(content)
    a, b = (load_from_file(f"{tmp_path / folder / 'net.py'}:build") for folder in ("a", "b"))
    assert (a(), b(), a(), b()) == (11, 22, 11, 22)
    assert tmp_path / "b" / "parts" / "late.py" in files_behind(f"{tmp_path / 'b' / 'net.py'}:build")
    assert not any(name.startswith(("parts", "beside")) for name in sys.modules)


@pytest.mark.parametrize(
    ("content", "reference", "message"),
    [
        (None, "mine.py:build", "cannot read .*mine.py .No such file"),
        ("", "mine.py", "write ./file.py:function"),
        ("def built(): pass", "mine.py:build", "unknown function 'build'; did you mean built"),
        ("import nothing_of_that_name", "mine.py:build", "mine.py: ModuleNotFoundError"),
        ("def build(:", "mine.py:build", "mine.py: SyntaxError"),
        ("raise ValueError('two\\nlines')", "mine.py:build", "mine.py: ValueError: two lines$"),
        ("raise SystemExit(7)", "mine.py:build", "mine.py: SystemExit: 7; raise an error that says what is wrong$"),
    ],
)
def test_faults_of_a_file_are_one_line(tmp_path, content, reference, message):
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    with pytest.raises(RequestError, match=message) as caught:
        load_from_file(f"{tmp_path}/{reference}")
    assert "\n" not in str(caught.value)


def test_what_counts_as_a_file():
    assert all(map(is_file_reference, ("./a.py:f", "../x/a.py:f", "a.py:f", "/b/a.py:f", "a.py")))
    assert not any(map(is_file_reference, ("resnet18", "timm/vit", "torchvision/resnet18", "my-net")))
