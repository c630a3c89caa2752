"""Pixels are what a viewer shows, whatever the file holds beside them; what was changed is said."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from raymoco.data.codec import decode, decode_to, encode_png, stored_form
from raymoco.errors import DataError
from tests.deep_files import png_of_16_bits, tiff_of_16_bits

COLOR = (10, 200, 30)
FILLED = ("changed", "had transparent parts, filled with white")
NOISE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE).resize((100, 75))


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def cut_out(mode="RGBA"):
    """A white square on a transparent ground that has a color of its own."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., :3] = COLOR
    pixels[2:6, 2:6] = 255
    return Image.fromarray(pixels).convert(mode)


def palette():
    return Image.fromarray(NOISE).resize((8, 8)).quantize(16)


def first_entry(image):
    return int(np.asarray(image)[0, 0])


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


TRANSPARENT = {
    "RGBA": lambda: encoded(cut_out()),
    "LA": lambda: encoded(cut_out("LA")),
    "palette, a byte each": lambda: encoded(palette(), transparency=bytes([0] * 16)),
    "palette, one entry": lambda: encoded(palette(), transparency=first_entry(palette())),
    "RGB, a color": lambda: encoded(cut_out("RGB"), transparency=COLOR),
    "L, a gray": lambda: encoded(cut_out("L"), transparency=first_entry(cut_out("L"))),
    "1 bit": lambda: encoded(Image.fromarray(np.eye(8) == 0), transparency=0),
    "16 bits": lambda: png_of_16_bits(np.asarray(cut_out()).astype("u2") * 257),
    "16 bits gray": lambda: png_of_16_bits(np.asarray(cut_out("LA")).astype("u2") * 257),
    "WebP": lambda: encoded(cut_out(), "WEBP", lossless=True),
    "GIF": lambda: encoded(cut_out(), "GIF"),
    "TIFF": lambda: encoded(cut_out(), "TIFF", compression="tiff_lzw"),
    "ICO": lambda: encoded(cut_out(), "ICO"),
    "JPEG 2000": lambda: encoded(cut_out(), "JPEG2000"),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_the_background_shows_where_an_image_is_transparent(kind):
    found = TRANSPARENT[kind]()
    decoded = decode(found)
    assert (decoded.pixels[:, 0, 0] == 255).all()
    assert FILLED in decoded.remarks
    stored = stored_form(found, None)
    assert (stored.pixels == decoded.pixels).all()
    with Image.open(io.BytesIO(stored.encoded)) as anybodys:
        assert anybodys.mode in ("L", "RGB")
        assert "transparency" not in anybodys.info
    for bytes_ in (found, stored.encoded):
        assert (decode_to(bytes_, len(decoded.pixels), 8)[:, 0, 0] == 255).all()


def test_half_transparent_parts_are_mixed_with_the_background():
    pixels = np.full((4, 4, 4), (100, 0, 200, 128), np.uint8)
    found = decode(encoded(Image.fromarray(pixels)), background="#0a141e").pixels[:, 0, 0]
    expected = (np.array([100, 0, 200]) * 128 + np.array([10, 20, 30]) * 127) / 255
    assert np.abs(found - expected).max() <= 0.5


def test_gray_with_alpha_stays_gray_on_a_gray_background_alone():
    gray = encoded(cut_out("LA"))
    assert decode(gray, background="gray").pixels[:, 0, 0].tolist() == [128]
    assert decode(gray, background="red").pixels[:, 0, 0].tolist() == [255, 0, 0]


def test_an_alpha_that_hides_nothing_changes_nothing():
    opaque = encoded(cut_out("RGB").convert("RGBA"))
    assert stored_form(opaque, None).encoded == opaque
    assert decode(opaque).remarks == ()
    assert decode(opaque).pixels[:, 0, 0].tolist() == list(COLOR)


def test_no_warning_of_a_palette_leaks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encoded(palette(), transparency=bytes([255] * 12 + [128, 64, 32, 0])))


@pytest.mark.parametrize("big_endian", [False, True])
def test_premultiplied_alpha_is_divided_out(big_endian):
    half = np.full((4, 4, 4), (100 * 257, 0, 0, 128 * 257), np.uint16)
    found = decode(tiff_of_16_bits(half, extra=1, big_endian=big_endian), background="black")
    assert np.abs(found.pixels[:, 0, 0].astype(int) - (100, 0, 0)).max() <= 1


VALUES = (np.random.default_rng(1).random((6, 8)) * 4095).astype("u2")
COLORS = (np.random.default_rng(1).random((6, 8, 3)) * 4095).astype("u2")
DEEP = {
    "PNG, gray": (lambda: encoded(Image.fromarray(VALUES)), VALUES),
    "TIFF, gray": (lambda: encoded(Image.fromarray(VALUES), "TIFF"), VALUES),
    "TIFF, packed": (
        lambda: encoded(Image.fromarray(VALUES), "TIFF", compression="tiff_lzw"),
        VALUES,
    ),
    "PNG, color": (lambda: png_of_16_bits(COLORS), COLORS),
    "TIFF, color": (lambda: tiff_of_16_bits(COLORS), COLORS),
    "TIFF, color, big-endian": (lambda: tiff_of_16_bits(COLORS, big_endian=True), COLORS),
    "JPEG 2000": (lambda: encoded(Image.fromarray(VALUES), "JPEG2000"), VALUES),
    "32 bits": (lambda: encoded(Image.fromarray(VALUES.astype("i4")), "TIFF"), VALUES),
    "floats": (lambda: encoded(Image.fromarray(VALUES.astype("f4")), "TIFF"), VALUES),
    "signed": (
        lambda: encoded(Image.fromarray(VALUES.astype("i4") - 2000), "TIFF"),
        VALUES - 2000.0,
    ),
}


@pytest.mark.parametrize("kind", DEEP)
def test_all_bits_of_an_image_count(kind):
    make, values = DEEP[kind]
    low, high = float(values.min()), float(values.max())
    decoded = decode(make(), value_range=(low, high))
    assert (decoded.span.low, decoded.span.high) == (low, high)
    expected = np.rint((values.astype(float) - low) / (high - low) * 255)
    expected = expected[None] if values.ndim == 2 else expected.transpose(2, 0, 1)
    assert (decoded.pixels == expected).all()
    assert ("changed" in [kind for kind, _ in decoded.remarks]) is True
    assert decode(stored_form(make(), None, value_range=(low, high)).encoded).span is None


def test_values_beyond_the_range_are_cut_off_and_told():
    remarks = dict(map(reversed, decode(DEEP["PNG, gray"][0](), value_range=(100, 200)).remarks))
    assert "have values beyond data.value_range, which are cut off there" in remarks


def test_what_is_no_number_is_told_and_nothing_but_that_is_refused():
    values = np.array([[np.nan, np.inf], [-np.inf, 0.5]], "f4")
    decoded = decode(encoded(Image.fromarray(values), "TIFF"), value_range=(0, 1))
    assert decoded.pixels.tolist() == [[[0, 255], [0, 128]]]
    assert any("NaN" in reason for _, reason in decoded.remarks)
    with pytest.raises(DataError, match="holds no finite number"):
        decode(encoded(Image.fromarray(values * np.nan), "TIFF"))


JPEG = encoded(PHOTO, "JPEG")
PNG = encoded(PHOTO)
WITH_JUNK = {
    "EXIF": encoded(PHOTO, "JPEG", dpi=(72, 72), exif=b"Exif\0\0junk_junk_junk"),
    "cut off EXIF": encoded(PHOTO, "JPEG", exif=turned(6).tobytes()[:20]),
    "ICC profile": encoded(PHOTO, "JPEG", icc_profile=b"junk"),
    "trailing bytes": JPEG + b"garbage" * 99,
    "Photoshop block": JPEG[:2] + b"\xff\xed\x00\x14Photoshop 3.0\0" + b"8BIM" + JPEG[2:],
    "no end": JPEG[:-2],
    "no end of a progressive one": encoded(PHOTO, "JPEG", progressive=True)[:-2],
}


@pytest.mark.parametrize("kind", WITH_JUNK)
def test_a_jpeg_with_broken_surroundings_is_read_as_viewers_read_it(kind):
    found = WITH_JUNK[kind]
    stored = stored_form(found, None)
    plain = JPEG if "progressive" not in kind else encoded(PHOTO, "JPEG", progressive=True)
    assert (stored.pixels == decode(plain).pixels).all()
    assert stored.encoded.endswith(b"\xff\xd9")
    assert len(stored.encoded) <= len(found) + 2
    for bytes_ in (found, stored.encoded):
        assert (decode_to(bytes_, 3, 75) == decode_to(plain, 3, 75)).all()


def chunk(name, data, check=0):
    return (
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data) ^ check)
    )


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"tEXt", b"a\0b", check=1),
        chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 3_000_000)),
        chunk(b"iCCP", b"a\0\0junk"),
        chunk(b"eXIf", b"junk"),
    ],
    ids=["checksum", "long text", "profile", "EXIF"],
)
def test_a_png_with_a_broken_chunk_that_no_pixel_needs_is_read(broken):
    found = PNG[:33] + broken + PNG[33:]
    assert (decode(found).pixels == decode(PNG).pixels).all()
    assert (decode_to(found, 3, 75) == decode_to(PNG, 3, 75)).all()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_part_of_a_jpeg_stays_corrupt(keep, progressive):
    whole = encoded(PHOTO, "JPEG", progressive=progressive)
    for read in (decode, lambda some: decode_to(some, 3, 32), lambda some: stored_form(some, 32)):
        with pytest.raises(DataError, match="not a whole image"):
            read(whole[: int(len(whole) * keep)])


def test_cmyk_of_cameras_and_printers_has_its_colors():
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    found = decode(encoded(red.convert("CMYK"), "JPEG", quality=95)).pixels[:, 8, 8]
    assert np.abs(found.astype(int) - (200, 30, 40)).max() <= 6


def test_a_name_says_nothing_the_bytes_do():
    assert decode(PNG).format == "PNG"
    assert stored_form(JPEG, None).encoded == JPEG


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_image_stands_upright_in_every_format(kind, orientation):
    found = encoded(PHOTO, kind, exif=turned(orientation))
    as_shot = decode(encoded(PHOTO, kind)).pixels
    quarters = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    upright = np.rot90(as_shot, quarters, axes=(1, 2)).astype(int)
    assert decode(found).shape == upright.shape[1:]
    assert np.abs(decode(found).pixels - upright).max() <= 16  # AVIF is lossy
    if kind in ("JPEG", "PNG"):
        square = decode_to(found, 3, 75).astype(int) - decode_to(encoded(PHOTO, kind), 3, 75)
        assert orientation == 1 or np.abs(square).max() > 16


def test_a_camera_file_of_several_pictures_is_stored_as_the_jpeg_that_it_is():
    large = PHOTO.resize((640, 480))
    found = encoded(large, "MPO", save_all=True, append_images=[PHOTO])
    stored = stored_form(found, None)
    assert (stored.pixels == decode(encoded(large, "JPEG")).pixels).all()
    assert len(stored.encoded) < len(found)
    with Image.open(io.BytesIO(stored.encoded)) as anybodys:
        assert anybodys.format == "JPEG"
    assert [kind for kind, _ in stored.remarks] == ["understood"]


def test_the_video_of_a_motion_photo_is_not_stored():
    stored = stored_form(JPEG + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 99, None)
    assert stored.encoded == JPEG


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_of_several_frames_is_stored_alone(kind):
    found = encoded(PHOTO, kind, save_all=True, append_images=[PHOTO.rotate(90)])
    stored = stored_form(found, None)
    assert "hold several frames or pages, of which the first is used" in stored.remarks[0]
    with Image.open(io.BytesIO(stored.encoded)) as anybodys:
        assert not getattr(anybodys, "is_animated", False)
    assert np.abs(stored.pixels - decode(PNG).pixels.astype(int)).mean() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_panorama_beyond_pillows_limit_is_legal(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    found = encoded(PHOTO, kind)
    assert decode(found).shape == (75, 100)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_a_huge_jpeg_is_read_smaller_and_stored_as_it_is(monkeypatch):
    monkeypatch.setattr("raymoco.data.codec.HUGE_PIXELS", 5000)
    found = encoded(PHOTO, "JPEG", exif=turned(6))
    stored = stored_form(found, None)
    assert stored.encoded == found
    assert stored.shape == (100, 75)
    assert stored.pixels.size < decode(JPEG).pixels.size / 50
    assert stored_form(found, 10).shape == (13, 10)


def test_an_image_of_too_many_pixels_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr("raymoco.data.decoding.opening.MOST_PIXELS", 5000)
    with pytest.raises(DataError, match=r"^not an image that can be read: it has 100 x 75 pixels"):
        decode(PNG)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "JPEG2000", "BMP"])
def test_flipped_bytes_are_an_image_or_a_data_error_and_nothing_else(kind):
    rng, whole = np.random.default_rng(5), encoded(PHOTO, kind)
    for _ in range(60):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, min(len(spoilt), 400), 4)
        spoilt[places] = rng.integers(0, 256, 4)
        for read in (lambda some: decode(some).pixels, lambda some: decode_to(some, 3, 32)):
            try:
                assert read(spoilt.tobytes()).ndim == 3
            except DataError:
                continue


SORTS = {
    "color": (PHOTO, {}),
    "progressive": (PHOTO, {"progressive": True}),
    "not subsampled": (PHOTO, {"subsampling": 0}),
    "gray": (PHOTO.convert("L"), {}),
    "CMYK": (PHOTO.convert("CMYK"), {}),
    "RGB as it is": (PHOTO, {"keep_rgb": True}),
    "turned": (PHOTO, {"exif": turned(8)}),
}


@pytest.mark.parametrize("size", [9, 20, 75, 90])
@pytest.mark.parametrize("sort", SORTS)
def test_a_fast_jpeg_has_the_pixels_that_pillow_gives(monkeypatch, sort, size):
    image, options = SORTS[sort]
    found = encoded(image, "JPEG", **options)
    fast = [decode(found).pixels, *(decode_to(found, channels, size) for channels in (1, 3))]
    monkeypatch.setattr("raymoco.data.codec.jpeg_pixels", lambda *_, **__: None)
    slow = [decode(found).pixels, *(decode_to(found, channels, size) for channels in (1, 3))]
    for one, other in zip(fast, slow, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("shape", [(75, 100), (40, 33), (64, 64), (300, 200)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_is_resized_as_pillow_resizes_it(shape, mode):
    high, wide = shape
    image = PHOTO.resize((wide, high)).convert(mode)
    size, short = 50, min(shape)
    larger = image.resize((round(wide * size / short), round(high * size / short)), 3)
    left, top = (larger.width - size) // 2, (larger.height - size) // 2
    expected = np.asarray(larger.crop((left, top, left + size, top + size))).astype(int)
    found = decode_to(encoded(image), 1 if mode == "L" else 3, size)
    found = found[0] if mode == "L" else found.transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (7, 5, 3), (64, 64, 3), (200, 9), (65, 65, 3)])
def test_pixels_come_back_from_png_and_anybody_can_read_it(shape):
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    found = encode_png(pixels)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    assert (decode(found).pixels == planes).all()
    with Image.open(io.BytesIO(found)) as anybodys:
        assert (np.asarray(anybodys) == pixels).all()
    short, channels = min(shape[:2]), len(planes)
    top, left = (shape[0] - short) // 2, (shape[1] - short) // 2
    square = planes[:, top : top + short, left : left + short]
    assert (decode_to(found, channels, short) == square).all()
    assert decode_to(found, 3, short).shape == (3, short, short)
    assert decode_to(found, 1, short).shape == (1, short, short)


def test_no_flipped_byte_of_a_small_png_gives_other_pixels():
    pixels = np.random.default_rng(2).integers(0, 256, (8, 8), dtype=np.uint8)
    found = encode_png(pixels)
    for place in range(len(found)):
        spoilt = bytearray(found)
        spoilt[place] ^= 0x10
        try:
            read = decode_to(bytes(spoilt), 1, 8)
        except DataError:
            continue
        assert (read == pixels).all()
