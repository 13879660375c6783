"""Finds every rule id in the source of the package, by its syntax alone.

A call is a sink when the function or class called takes a parameter, or has a field, named ``rule``. Its argument is
followed to a text: through constants, imports, local names and conditional expressions. A sink whose argument is the
caller's own ``rule``, or the ``rule`` of another object, only passes an id on.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

RULE = "rule"
TUPLES = ("Wording",)
"""Names of tuple types whose first item is a rule id."""

ERROR_POSITION = 2
"""Where the package's errors take the id: after message and hint."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """One module: its syntax, and the names it imports and defines."""

    name: str
    tree: ast.Module

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Return module and name behind each name that is imported from another module."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
        return found

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """Return the values of the module's constants and of the constants of its classes."""
        found: dict[str, ast.expr] = {}
        bodies = [self.tree.body, *(node.body for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))]
        for statement in (one for body in bodies for one in body):
            if isinstance(statement, ast.Assign):
                found.update(_pairs(statement))
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
                found[statement.target.id] = statement.value
        return found

    @cached_property
    def tables(self) -> list[ast.Dict]:
        """Return the constants that map rule ids to something: those that are subscripted by ``rule``."""
        names = {
            ast.unparse(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Subscript) and ast.unparse(node.slice) == RULE
        }
        return [table for name in sorted(names) if isinstance(table := self.constants.get(name), ast.Dict)]

    @cached_property
    def callables(self) -> dict[str, list[int | None]]:
        """Return the position of ``rule`` in each function and class defined here, None without one."""
        found: dict[str, list[int | None]] = defaultdict(list)
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                found[node.name].append(_position([one.arg for one in _parameters(node)]))
            elif isinstance(node, ast.ClassDef):
                names = [
                    s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
                ]
                starts = [s for s in node.body if isinstance(s, Function) and s.name == "__init__"]
                found[node.name].append(_position([one.arg for one in _parameters(starts[0])] if starts else names))
        return found


def _parameters(node: Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _position(names: list[str]) -> int | None:
    names = names[1:] if names[:1] in (["self"], ["cls"]) else names
    return names.index(RULE) if RULE in names else None


@dataclass
class Scan:
    """The rule ids found, each with its places, and the sinks whose id could not be followed to a text."""

    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unresolved: list[str] = field(default_factory=list)


def scan(package: Path) -> Scan:
    """Return the rule ids in a package."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join((package.name, *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")
        modules[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")))
    return _Scanner(modules).scan()


class _Scanner:
    def __init__(self, modules: dict[str, Module]) -> None:
        self.modules = modules
        self.result = Scan()
        self.errors = self._error_classes()

    def scan(self) -> Scan:
        for module in self.modules.values():
            self._visit(module, module.tree, None)
            for table in module.tables:
                self._follow_keys(module, table)
        return self.result

    def _follow_keys(self, module: Module, table: ast.Dict) -> None:
        """Follow the keys of a table, and those of the constants that it includes with ``**``."""
        for key, value in zip(table.keys, table.values, strict=True):
            if key is not None:
                self._follow(module, None, key, f"{module.name}:{key.lineno}")
            elif isinstance(value, ast.Name) and (found := self._constant(module, value)):
                source, _, included = found
                if isinstance(included, ast.Dict):
                    self._follow_keys(source, included)

    def _error_classes(self) -> set[str]:
        """Return the names of the package's errors that take message, hint and rule as their base does."""
        bases = {
            node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
            for module in self.modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        found = {"ZtrustMailError"}
        while more := {name for name, above in bases.items() if found.intersection(above)} - found:
            found |= more
        return found - {"SpecError"}

    def _visit(self, module: Module, node: ast.AST, function: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                self._call(module, function, child)
            elif isinstance(child, ast.ClassDef):
                for one in child.body:
                    if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == RULE:
                        self._follow(module, None, one.value, f"{module.name}:{one.lineno}")
            elif isinstance(child, ast.Return) and isinstance(child.value, ast.Tuple) and function and function.returns:
                if ast.unparse(function.returns) in TUPLES:
                    self._follow(module, function, child.value.elts[0], f"{module.name}:{child.lineno}")
            elif isinstance(child, ast.Dict):
                for key, value in zip(child.keys, child.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == RULE:
                        self._follow(module, function, value, f"{module.name}:{child.lineno}")
            self._visit(module, child, child if isinstance(child, Function) else function)

    def _call(self, module: Module, function: Function | None, call: ast.Call) -> None:
        target = call.func
        name = target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
        given = [keyword.value for keyword in call.keywords if keyword.arg == RULE]
        local = _assigned(function, name) if function and isinstance(target, ast.Name) else []
        is_error = any(isinstance(n, ast.Name) and n.id in self.errors for one in local for n in ast.walk(one))
        for position in [ERROR_POSITION] if is_error else self._positions(module, name):
            if not given and position is not None and len(call.args) > position:
                given = [call.args[position]]
        for value in given[:1]:
            self._follow(module, function, value, f"{module.name}:{call.lineno}")

    def _positions(self, module: Module, name: str) -> list[int | None]:
        """Return where a function or class that is called by this name in a module takes a rule."""
        if name in module.callables:
            own = module.callables[name]
            return own if name not in self.errors or own != [None] else [ERROR_POSITION]
        if name in self.errors:
            return [ERROR_POSITION]
        sources = {source for source, _ in module.imports.values()}
        sources |= {f"{source}.{name}" for source, name in module.imports.values()}
        return [p for other in sources if other in self.modules for p in self.modules[other].callables.get(name, [])]

    def _follow(self, module: Module, function: Function | None, value: ast.expr, place: str) -> None:
        for text in self._texts(module, function, value, place):
            self.result.ids[text].append(place)

    def _texts(self, module: Module, function: Function | None, value: ast.expr, place: str) -> Iterator[str]:
        match value:
            case ast.Constant(value=str(text)):
                if text:
                    yield text
            case ast.BoolOp(values=parts):
                for part in parts:
                    yield from self._texts(module, function, part, place)
            case ast.IfExp(body=one, orelse=other):
                yield from self._texts(module, function, one, place)
                yield from self._texts(module, function, other, place)
            case ast.Attribute(attr="rule"):
                return
            case ast.Name(id="rule") if function and not _assigned(function, RULE):
                return
            case ast.Name(id=name) if function and (values := _assigned(function, name)):
                for one in values:
                    yield from self._texts(module, function, one, place)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                if found := self._constant(module, value):
                    yield from self._texts(*found, place)
                else:
                    self.result.unresolved.append(f"{place}: {ast.unparse(value)}")
            case _:
                self.result.unresolved.append(f"{place}: {ast.unparse(value)}")

    def _constant(self, module: Module, value: ast.expr) -> tuple[Module, None, ast.expr] | None:
        if isinstance(value, ast.Attribute):
            owner = ast.unparse(value.value)
            source, name = module.imports.get(owner, (module.name, owner))
            other = self.modules.get(f"{source}.{name}") or self.modules.get(source)
            return (other, None, other.constants[value.attr]) if other and value.attr in other.constants else None
        assert isinstance(value, ast.Name)
        if value.id in module.constants:
            return module, None, module.constants[value.id]
        source, name = module.imports.get(value.id, ("", ""))
        return self._constant(self.modules[source], ast.Name(name)) if source in self.modules else None


def _assigned(function: Function, name: str) -> list[ast.expr]:
    """Return the values that a function assigns to a local name."""
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return [value for node in assigned for target, value in _pairs(node) if target == name]


def _pairs(assigned: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """Yield each name that a statement assigns, with its value; the parts of a tuple one by one."""
    for target in assigned.targets:
        if isinstance(target, ast.Name):
            yield target.id, assigned.value
        elif isinstance(target, ast.Tuple) and isinstance(assigned.value, ast.Tuple):
            for part, value in zip(target.elts, assigned.value.elts, strict=True):
                if isinstance(part, ast.Name):
                    yield part.id, value
