import sys

sys.path.insert(0, "/work/h/me/tests/store")
sys.path.insert(0, "/work/h/me/tests")
from test_foreign_folders import *


def test_x(whole, tmp_path, capsys):
    with figures_as_stubs():
        bad = []
        for s in range(1180, 1180 + 60):
            try:
                survives(range(s, s + 1), whole, tmp_path / str(s), capsys)
            except AssertionError as e:
                bad.append((str(e), repr(e.__cause__)))
        open("/tmp/fz_1180.out", "w").write("\n".join(map(str, bad)))
        assert not bad
