"""Small faults in Python source: where they can be made, and the tree with one of them.

Each fault is one that people make: a bound off by one, a condition turned round, an "and" for an "or", a branch that is never
or always taken. Tables, docstrings, annotations and messages are left alone: a row of a table is tested by removing it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        function: Qualified name of the function that it is in.
        before: The expression or statement as it is.
        after: As it would be.
        index: Which of the module's faults it is, from 0.
        line: Where it is, for people; no part of its key.
    """

    function: str
    before: str
    after: str
    index: int
    line: int

    @property
    def key(self) -> str:
        """What it is called in the list of those that may live: no line numbers, which move."""
        return f"{self.function}: {self.before} -> {self.after}"


class _Visitor(ast.NodeTransformer):
    """Counts the places for a fault and makes the one that is asked for."""

    def __init__(self, tree: ast.Module, wanted: int | None) -> None:
        self._wanted = wanted
        self._parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        self._scope: list[str] = []
        self.found: list[Fault] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._scope.append(node.name)
        node.body = [self.visit(statement) for statement in node.body if not _is_docstring(statement)] or [ast.Pass()]
        self._scope.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._scope.append(node.name)
        node.body = [self.visit(one) if isinstance(one, ast.FunctionDef | ast.ClassDef) else one for one in node.body]
        self._scope.pop()
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [self.visit(one) if isinstance(one, ast.FunctionDef | ast.ClassDef) else one for one in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node  # Its words are for people.

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node  # It states what is always so: no test can show the contrary.

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        other = _COMPARISONS.get(type(node.ops[0]))
        if other is None or len(node.ops) != 1:
            return node
        return self._fault(node, ast.Compare(left=node.left, ops=[other()], comparators=node.comparators))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return self._fault(
            node, ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
        )

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return self._fault(node, node.operand) if isinstance(node.op, ast.Not) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        other = _ARITHMETIC.get(type(node.op))
        return self._fault(node, ast.BinOp(left=node.left, op=other(), right=node.right)) if other else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, int):
            return node
        # A number alone says little: which of them it is, is said by what it is in.
        around = " ".join(ast.unparse(self._parents[node]).split())
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        return self._fault(node, ast.Constant(value=value), within=f" in {around}")

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        for value in (True, False):
            changed = self._fault(node.test, ast.Constant(value=value), name="if ")
            if changed is not node.test:
                node.test = changed
        return node

    def _fault(self, before: ast.expr, after: ast.expr, *, name: str = "", within: str = "") -> ast.expr:
        index = len(self.found)
        if not self._scope:
            return before
        self.found.append(
            Fault(
                function=".".join(self._scope),
                before=name + " ".join(ast.unparse(before).split()) + within,
                after=" ".join(ast.unparse(after).split()),
                index=index,
                line=before.lineno,
            )
        )
        return ast.copy_location(after, before) if index == self._wanted else before


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def faults(source: str) -> Iterator[Fault]:
    """Every fault that can be made in this source, in a fixed order."""
    tree = ast.parse(source)
    visitor = _Visitor(tree, None)
    visitor.visit(tree)
    yield from visitor.found


def with_fault(source: str, index: int) -> ast.Module:
    """The tree of the source with one of its faults.

    Raises:
        IndexError: It has no such fault.
    """
    tree = ast.parse(source)
    visitor = _Visitor(tree, index)
    visitor.visit(tree)
    if index >= len(visitor.found):
        raise IndexError(index)
    return ast.fix_missing_locations(tree)
