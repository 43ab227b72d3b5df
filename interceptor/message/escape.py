r"""Escape sequences, both ways: `\F\` and the like become characters, characters become escapes.

    \F\ \S\ \R\ \E\ \T\ \P\    the delimiters: field, component, repetition, escape, subcomponent, truncation
    \Xhh..\                    bytes in hexadecimal, read in the message's character set
    \.br\ \.ce\ \.sp<n>\       line ends            \.sk<n>\   blanks
    \.in<n>\ \.ti<n>\ \.fi\ \.nf\ \H\ \N\   layout only, no text
    \Cxxyy\ \Mxxyyzz\          change of character set, as the escape sequence ESC xx yy zz

`\Zxx\` means what a site agreed on, so it stays as it stands, and so does every unknown sequence.

Source: HL7 v2.9 chapter 2, 2.7 use of escape sequences in text fields.
"""

import re
from functools import lru_cache

from interceptor.message.charset import Charset
from interceptor.message.encoding import EncodingCharacters

_BODY = r"[FSRETPHN]|X(?:[0-9A-Fa-f]{2})+|\.(?:br|ce|fi|nf|(?:sp|sk)\+?\d{0,3}|(?:in|ti)[+-]?\d{0,4})"
_SWITCH_BODY = rb"(?:C([0-9A-Fa-f]{4})|M([0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2})?))"
_LAYOUT_ONLY = frozenset({"H", "N", ".fi", ".nf"})
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F


@lru_cache(maxsize=32)
def _sequence_pattern(escape_value: int) -> re.Pattern[str]:
    mark = re.escape(chr(escape_value))
    return re.compile(f"{mark}({_BODY}){mark}")


@lru_cache(maxsize=32)
def _switch_pattern(escape_value: int) -> re.Pattern[bytes]:
    mark = re.escape(bytes((escape_value,)))
    return re.compile(mark + _SWITCH_BODY + mark)


def _meaning(body: str, encoding: EncodingCharacters, charset: Charset) -> str:
    """The text that one known sequence stands for; `body` is what stands between the two escape characters."""
    if body[0] == "X":
        return charset.decode(bytes.fromhex(body[1:]))
    if body in _LAYOUT_ONLY or body.startswith((".in", ".ti")):
        return ""
    if body in (".br", ".ce"):
        return "\n"
    if body.startswith((".sp", ".sk")):
        return ("\n" if body.startswith(".sp") else " ") * int(body[3:].lstrip("+") or "1")
    delimiters = {
        "F": encoding.field,
        "S": encoding.component,
        "R": encoding.repetition,
        "E": encoding.escape,
        "T": encoding.subcomponent,
        "P": encoding.truncation,
    }
    value = delimiters[body]
    # A message without a fifth delimiter may still escape "#": that is what \P\ means everywhere.
    return chr(value) if value is not None else "#" if body == "P" else ""


def _to_iso_2022(match: re.Match[bytes]) -> bytes:
    designation: bytes = match[1] or match[2]
    return b"\x1b" + bytes.fromhex(designation.decode("ascii"))


def unescape(raw: bytes, encoding: EncodingCharacters, charset: Charset) -> str:
    """Decode one value and replace its escape sequences. Never raises; unknown sequences stay as text."""
    if encoding.escape is None or encoding.escape not in raw:
        return charset.decode(raw)
    # Decoding comes first: inside ISO 2022 the escape character's byte may be half of another character.
    text = charset.decode(_switch_pattern(encoding.escape).sub(_to_iso_2022, raw))
    return _sequence_pattern(encoding.escape).sub(lambda match: _meaning(match[1], encoding, charset), text)


def _escaped_forms(encoding: EncodingCharacters) -> dict[int, str]:
    """What each character that cannot stand as it is becomes."""
    forms: dict[int, str] = {}
    if encoding.escape is None:
        # There is no way to say a delimiter, or a control character, as text.
        forms.update(dict.fromkeys((*range(_FIRST_PRINTABLE), _DELETE, *encoding.values), " "))
        return forms
    mark = chr(encoding.escape)
    forms.update({value: f"{mark}X{value:02X}{mark}" for value in (*range(_FIRST_PRINTABLE), _DELETE)})
    if ord(".") not in encoding.values:
        forms[ord("\n")] = f"{mark}.br{mark}"
    named = zip("PTRESF", (encoding.truncation, encoding.subcomponent, encoding.repetition, encoding.escape,
                           encoding.component, encoding.field), strict=True)  # fmt: skip
    for name, value in named:
        if value is not None:
            forms[value] = f"{mark}{name}{mark}"
    return forms


_forms_of = lru_cache(maxsize=32)(_escaped_forms)


def escape(text: str, encoding: EncodingCharacters) -> bytes:
    r"""Build the bytes of one value: delimiters and control characters escaped, line ends as `\.br\`.

    ASCII only, because what we add must read the same in every character set: any other character becomes "?"
    (`build.ascii_text` turns most into something better first). Without an escape character in MSH-2 a delimiter
    becomes a blank.
    """
    return text.translate(_forms_of(encoding)).encode("ascii", "replace")
