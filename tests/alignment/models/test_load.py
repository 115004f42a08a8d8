import re
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn

from alignment.errors import DataError, RequestError
from alignment.models import (
    check_layers,
    check_model,
    describe_model,
    has_weights,
    load_model,
    model,
    model_names,
    untrained,
)
from alignment.models.catalogue import MODELS
from alignment.models.torchvision import published_file

FILE = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
def chosen(weights):
    net = build()
    nn.init.constant_(net[0].bias, {"default": 1.0, "none": 2.0}.get(weights, 3.0))
    return net
def wrong():
    return 3
def broken():
    raise OSError("no such thing")
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return f"{tmp_path}/mine.py"


def test_importing_the_package_imports_no_torch():
    script = (
        "import sys, alignment.models as m, alignment.registry; m.model_names();"
        "[m.model_summary(n) for n in m.model_names()]; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"


def test_every_built_in_has_a_summary():
    assert {"toy", "cifar_resnet20", "cifar_resnet56", "pixels", "gabor"} <= set(model_names())
    assert all(MODELS.summary(name) for name in model_names())


def test_seeded_random_weights_and_ids(tmp_path):
    one = load_model("resnet18", weights="none", cache=tmp_path)
    same = load_model("torchvision/resnet18", weights="none", cache=tmp_path)
    other = load_model("resnet18", weights="none", seed=1, cache=tmp_path)
    assert one.name == same.name == "resnet18[weights=none]" and other.name == "resnet18[weights=none,seed=1]"
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.image_size == (224, 224) and one.classes[:2] == ("tench", "goldfish")
    assert one.normalise == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    state = torch.get_rng_state()
    load_model("resnet18", weights="none", cache=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_from_a_path_are_strict(tmp_path):
    source = load_model("resnet18", weights="none", seed=3, cache=tmp_path)
    torch.save({"state_dict": source.module.state_dict()}, tmp_path / "epoch3.pth")
    loaded = load_model("resnet18", weights=str(tmp_path / "epoch3.pth"), layers=["layer4*"], cache=tmp_path)
    assert loaded.name == "resnet18[weights=epoch3,layers=layer4*]"
    assert loaded.fingerprint == source.fingerprint
    with pytest.raises(DataError, match="do not fit ResNet"):
        load_model("resnet34", weights=str(tmp_path / "epoch3.pth"), cache=tmp_path)


def test_no_network_and_no_file_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*_args, **_settings):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DataError, match=r"cannot download https.*unreachable.*put the file at .*resnet18-f37072fd.pth"):
        load_model("resnet18", cache=tmp_path)
    path, _ = published_file("resnet18")
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="sha256 does not start with f37072fd"):
        load_model("resnet18", cache=tmp_path)


def test_functions_of_a_file(mine, tmp_path):
    plain = load_model(f"{mine}:build", cache=tmp_path)
    again = load_model(f"{mine}:build", cache=tmp_path)
    assert plain.name == "mine:build" and plain.fingerprint == again.fingerprint
    assert load_model(f"{mine}:chosen", cache=tmp_path).module[0].bias[0] == 1
    assert load_model(f"{mine}:chosen", weights="none", cache=tmp_path).module[0].bias[0] == 2
    drawn = load_model(f"{mine}:build", weights="none", cache=tmp_path)
    assert drawn.name == "mine:build[weights=none]" and drawn.fingerprint != plain.fingerprint
    torch.save(drawn.module.state_dict(), tmp_path / "w.pth")
    assert load_model(f"{mine}:build", weights=str(tmp_path / "w.pth"), cache=tmp_path).fingerprint == drawn.fingerprint
    for function, message in (("wrong", "returned int, not an nn.Module"), ("broken", "OSError: no such thing")):
        with pytest.raises(RequestError, match=message):
            load_model(f"{mine}:{function}", cache=tmp_path)


def test_a_decorated_function_is_a_model(tmp_path):
    @model("my-net")
    def build():
        """One convolution."""
        return nn.Sequential(nn.Conv2d(3, 4, 3))

    assert MODELS.summary("my-net") == "One convolution."
    assert load_model("my-net", cache=tmp_path).name == "my-net"


def test_unknown_names_have_near_misses(tmp_path):
    for name, hint in (("resnet81", "resnet18"), ("toi", "toy"), ("torchvision/alexnt", "alexnet")):
        with pytest.raises(RequestError, match=f"did you mean .*{hint}"):
            load_model(name, cache=tmp_path)


def test_check_finds_all_faults_without_weights(tmp_path, mine):
    check = lambda name, **settings: [str(fault) for fault in check_model(name, cache=tmp_path, **settings)]
    assert check("resnet18") == check("resnet18", layers=["layer1*", "avgpool"]) == check(f"{mine}:build") == []
    assert "did you mean resnet18" in check("resnet19")[0]
    weights, layers = check("resnet18", weights="absent.pth", layers=["layer9"])
    assert "absent.pth" in weights and "unknown layer of resnet18 'layer9'; did you mean layer" in layers
    assert "cannot read" in check(str(tmp_path / "none.py:build"))[0]
    assert "unknown layer" in check(f"{mine}:build", layers=["conv"])[0]
    assert list(tmp_path.glob("*.pt")) == []


def test_untrained_permutes_every_weight_tensor(mine, tmp_path):
    trained = load_model(f"{mine}:build", cache=tmp_path)
    before = trained.fingerprint
    twin, other = untrained(trained, seed=0), untrained(trained, seed=1)
    assert twin.name == "mine:build[untrained]" and twin.fingerprint == untrained(trained, seed=0).fingerprint
    assert len({before, twin.fingerprint, other.fingerprint}) == 3 and trained.fingerprint == before
    assert other.name == "mine:build[untrained,seed=1]"
    drawn = load_model(f"{mine}:build", weights="none", cache=tmp_path)
    assert untrained(drawn, seed=0).name == "mine:build[weights=none,untrained]"
    assert has_weights(trained) and has_weights(twin)
    assert not has_weights(load_model("pixels", cache=tmp_path))
    for old, new in zip(trained.module.parameters(), twin.module.parameters(), strict=True):
        assert not torch.equal(old, new)
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
    with pytest.raises(RequestError, match="no trained weights"):
        untrained(load_model("pixels", cache=tmp_path), seed=0)
    with pytest.raises(RequestError, match="no weights to set"):
        load_model("pixels", weights="none", cache=tmp_path)


def test_a_module_may_say_its_image_size_and_classes(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    maps = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]\n"
        "    net = nn.Sequential(*maps, nn.Flatten(), nn.Linear(4, 2))\n"
        "    net.image_size, net.classes = (20, 24), ('cat', 'dog')\n"
        "    return net\n"
    )
    model = load_model(f"{tmp_path}/net.py:build", cache=tmp_path)
    assert model.image_size == (20, 24)
    assert model.logits(torch.rand(2, 3, 20, 24)).shape == (2, 1, 2)


SAYS = """
from torch import nn
def build():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    net.ATTRIBUTE = VALUE
    return net
"""


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("image_size", "64", r"its image_size is 64; give \(row, column\)"),
        ("image_size", "'64x64'", r"its image_size is '64x64'; give \(row, column\)"),
        ("image_size", "(-1, 0)", r"its image_size is \(-1, 0\); give"),
        ("image_size", "(64, 64, 3)", r"its image_size is \(64, 64, 3\); give"),
        ("image_size", "(64.0, 64.0)", r"its image_size is \(64.0, 64.0\); give"),
        ("classes", "10", "its classes is 10; give their names in the order of the logits"),
        ("classes", "'cat'", "its classes is 'cat'; give their names"),
        ("classes", "list(range(10))", "its classes is .0, 1, 2.*; give their names"),
        ("classes", "()", r"its classes is \(\); give their names"),
        ("visual_degrees", "'8'", "its visual_degrees is '8'; give the width"),
        ("visual_degrees", "float('nan')", "its visual_degrees is nan; give the width"),
        ("time_unit", "['ms']", r"its time_unit is \['ms'\]; give 'step' or 'ms'"),
        ("stochastic", "1", "its stochastic is 1; give True or False"),
    ],
)
def test_what_a_module_says_of_itself_is_checked(tmp_path, attribute, value, message):
    (tmp_path / "net.py").write_text(SAYS.replace("ATTRIBUTE", attribute).replace("VALUE", value))
    for make in (describe_model, load_model):
        with pytest.raises(RequestError, match=message):
            make(f"{tmp_path}/net.py:build", cache=tmp_path)


def test_all_that_a_module_says_wrongly_is_said_at_once(tmp_path):
    (tmp_path / "net.py").write_text(SAYS.replace("ATTRIBUTE = VALUE", "image_size = net.classes = 3"))
    with pytest.raises(RequestError, match=r"its image_size is 3; .*; its classes is 3; "):
        load_model(f"{tmp_path}/net.py:build", cache=tmp_path)


def test_numbers_of_other_libraries_are_numbers(tmp_path):
    said = "import numpy as np\n" + SAYS.replace("ATTRIBUTE = VALUE", "image_size = np.array([20, 24]).tolist()")
    (tmp_path / "net.py").write_text(said.replace("return net", "net.visual_degrees = np.float32(6)\n    return net"))
    model = load_model(f"{tmp_path}/net.py:build", cache=tmp_path)
    assert (model.image_size, model.visual_degrees) == ((20, 24), 6.0)
    assert len(model.fingerprint) > 8


def test_half_a_model_says_what_it_lacks(tmp_path):
    (tmp_path / "half.py").write_text(
        "class Half:\n    name, layers, time_bins = 'half', ('a',), {}\n    def record(self, *_): pass\n"
        "def build():\n    return Half()\n"
    )
    message = "it has `record`, as a Model has, and no time_unit, image_size, .*, logits, fingerprint; add it"
    with pytest.raises(RequestError, match=message):
        describe_model(f"{tmp_path}/half.py:build", cache=tmp_path)


def test_a_network_without_default_layers_names_its_modules(tmp_path):
    (tmp_path / "flat.py").write_text(
        "from torch import nn\ndef build():\n    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))\n"
        "    net.image_size = (2, 2)\n    return net\n"
    )
    message = r"flat:build: no layer to record at by default; name some of its modules \(model.layers=\): 0, 1$"
    flat = load_model(f"{tmp_path}/flat.py:build", cache=tmp_path)
    assert flat.layers == ()
    with pytest.raises(RequestError, match=message):
        check_layers(flat)
    check_layers(load_model(f"{tmp_path}/flat.py:build", layers=["1"], cache=tmp_path))


def test_a_layer_named_twice_is_named_once(mine, tmp_path):
    assert load_model(f"{mine}:build", layers=["0", "0", "1"], cache=tmp_path).name == "mine:build[layers=0+1]"


@pytest.mark.filterwarnings("error")
def test_networks_are_made_without_a_warning(tmp_path):
    """torchvision warns where it is left to it whether weights are initialised."""
    assert describe_model("inception_v3", cache=tmp_path).parameters == 27_161_264
    assert describe_model("googlenet", cache=tmp_path).parameters == 13_004_888


def test_a_network_is_the_same_however_its_file_is_named(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    found = {
        load_model(name, cache=tmp_path).fingerprint
        for name in (f"{mine}:build", "./mine.py:build", "mine.py:build", "./sub/../mine.py:build")
    }
    assert len(found) == 1


def test_ids_name_a_seed_that_counts(mine, tmp_path):
    (tmp_path / "drawn.py").write_text(
        "import torch\nfrom torch import nn\ndef build(seed):\n    torch.manual_seed(seed)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n"
    )
    zero, one = (load_model(f"{tmp_path}/drawn.py:build", seed=seed, cache=tmp_path) for seed in (0, 1))
    assert (zero.name, one.name) == ("drawn:build", "drawn:build[seed=1]") and zero.fingerprint != one.fingerprint
    assert load_model(f"{mine}:build", seed=1, cache=tmp_path).name == "mine:build"
    assert load_model("toy", weights="none", seed=2, cache=tmp_path).name == "toy[weights=none,seed=2]"
    assert load_model("pixels", seed=1, cache=tmp_path).name == "pixels"


def test_names_of_published_files_end_with_digits_of_their_checksum():
    for name in torchvision.models.list_models(module=torchvision.models):
        path, _ = published_file(name)
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{10}", path.stem.rpartition("-")[2]), path
