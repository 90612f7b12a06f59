"""The exception tree is the one that its docstring draws."""

import inspect
import pickle
import re

from codecbench import errors


def test_the_docstring_draws_the_tree():
    drawn, parents = {}, []
    margin = re.search(r"^( *)CodecbenchError$", errors.__doc__, re.MULTILINE)[1]
    for line in errors.__doc__.splitlines():
        if match := re.match(margin + r"([│├└─\s]*)([A-Z]\w+Error)\b", line):
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    real = {
        name: cls.__mro__[1].__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert drawn == real


def test_errors_travel_between_processes():
    for error in (errors.UnknownNameError("codec", "jepg", ["png", "jpeg"]), errors.StoreError("no space")):
        twin = pickle.loads(pickle.dumps(error))
        assert (type(twin), str(twin)) == (type(error), str(error))
