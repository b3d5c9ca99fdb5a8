"""Generated damage of files."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes, furthest: int) -> bytes:
    """Bytes with one to four places overwritten, cut out, doubled or added to, within the first `furthest`."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(content), furthest)))
        length = draw(st.integers(0, 12))
        noise = draw(
            st.binary(max_size=12) | st.sampled_from([b",", b"\n", b'"', b"\x00", b"nan", b"1e999", b"\xff"])
        )
        content = content[:place] + noise + content[place + length :]
    return content
