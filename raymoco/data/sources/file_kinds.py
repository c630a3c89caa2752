"""What a file is: by its name where the name says it, else by its first bytes.

One rule for class folders, loose images, `unlabelled/` and tables of labels.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import os
import re
from functools import cache

from PIL import features

HEAD_BYTES = 160  # DICOM has its mark at 128


class FileKind(enum.Enum):
    """What the name of a file says about it."""

    IMAGE = "image"
    NEEDS_MORE = "needs more"  # an image that this installation cannot read
    ARCHIVE = "archive"
    OTHER = "other"
    UNSAID = "unsaid"


_JPEG_2000 = ".jp2 .j2k .j2c .jpc .jpx .jpf"
_AVIF = ".avif .avifs"
_HEIF = ".heic .heif .heics .heifs .hif"
_IMAGES = (
    ".png .apng .jpg .jpeg .jpe .jif .jfif .pjpeg .pjp .mpo .bmp .dib .gif .webp .tif .tiff "
    ".ppm .pgm .pbm .pnm .pfm .tga .icb .vda .vst .ico .cur .icns .pcx .dcx .sgi .ras .xbm .xpm "
    f".dds .qoi .fit .fits {_JPEG_2000} {_AVIF} {_HEIF}"
)
_RAW = (
    ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw .x3f .3fr .erf .kdc "
    ".mef .mos .mrw .rwl .iiq"
)
# images that Pillow cannot read by any plugin: what they are, and what can convert them
_CONVERT = {
    _RAW: "camera RAW, which raymoco cannot read: rawpy can (pip install rawpy); convert to TIFF",
    ".dcm .dicom .ima": "DICOM, which raymoco cannot read: pydicom can (pip install pydicom); "
    "convert to PNG",
    ".exr .hdr": "OpenEXR or HDR, which raymoco cannot read: imageio can (pip install imageio); "
    "convert to TIFF",
    ".nii .mha .mhd .nrrd": "medical volumes, which raymoco cannot read: SimpleITK can "
    "(pip install SimpleITK); convert to PNG",
    ".svs .ndpi .mrxs .scn .bif .vms .czi .lif .nd2": "slides of microscopes, which raymoco cannot "
    "read: openslide and aicsimageio can; cut them into tiles",
}
_ARCHIVES = ".zip .tar .gz .tgz .bz2 .tbz2 .xz .txz .7z .rar .zst .lz4 .lzma .iso .dmg .cab .z01"
_OTHERS = (
    # text and tables
    ".txt .text .md .rst .log .json .jsonl .ndjson .geojson .csv .tsv .xml .xsd .dtd .yaml .yml "
    ".toml .ini .inf .cfg .conf .properties .env .names .classes .lst .list .idx .srt .vtt .nfo "
    # programs and pages
    ".py .pyc .pyi .ipynb .sh .bash .bat .cmd .ps1 .c .cc .cpp .h .hpp .cu .java .class .jar .js "
    ".mjs .ts .tsx .jsx .css .scss .html .htm .mhtml .php .rb .go .rs .r .rmd .m .jl .lua .sql .pl "
    ".exe .dll .so .dylib .msi .apk .deb .rpm .url .webloc .lnk .desktop .map .wasm "
    # documents and drawings
    ".pdf .doc .docx .xls .xlsx .ods .ppt .pptx .odt .odp .rtf .epub .mobi .djvu .tex .bib .eps "
    ".ps .ai .svg .svgz .psd .psb .xcf .kra .clip .indd .sketch .fig .cdr .drawio .wmf .emf .dwg "
    ".dxf .obj .mtl .stl .ply .gltf .glb .fbx .blend .usd .usdz .las .laz .pcd "
    # sound and video
    ".mp3 .wav .ogg .oga .opus .flac .m4a .aac .wma .aif .aiff .mid .midi .mp4 .m4v .mov .avi .mkv "
    ".webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts .ogv .vob .gifv .lrv .swf "
    # arrays, models and databases
    ".npy .npz .pkl .pickle .joblib .pt .pth .ckpt .safetensors .onnx .pb .tflite .keras .h5 .hdf5 "
    ".hdf .nc .zarr .mat .rds .rdata .parquet .arrow .feather .avro .orc .tfrecord .tfrecords .rec "
    ".record .lmdb .mdb .db .db-wal .db-shm .sqlite .sqlite3 .duckdb "
    # beside photographs and downloads
    ".xmp .aae .thm .dop .pp3 .cos .cop .lrprev .lrcat .icc .icm .part .partial .crdownload "
    ".download .aria2 .torrent .lock .pid .swp .md5 .sha1 .sha256 .sha512 .sfv .crc .sig .asc "
    ".license .ttf .otf .woff .woff2 .eot .cube .lut .kml .kmz .gpx .shp .shx .dbf .prj .tfw .jgw "
    ".pgw .wld .ovr"
)


@cache
def cannot_read() -> dict[str, str]:
    """Suffixes of images that this installation cannot read, with what could.

    Plugins of Pillow that are installed are registered here.
    """
    missing: dict[str, str] = {
        suffix: why for suffixes, why in _CONVERT.items() for suffix in suffixes.split()
    }
    here = "which this installation cannot read"
    if not _registered("pillow_heif", "register_heif_opener"):
        missing |= dict.fromkeys(_HEIF.split(), f"HEIC, {here}: pip install pillow-heif")
    if not _registered("pillow_jxl"):
        missing[".jxl"] = f"JPEG XL, {here}: pip install pillow-jxl-plugin"
    if not features.check("avif") and not _registered("pillow_avif"):
        missing |= dict.fromkeys(_AVIF.split(), f"AVIF, {here}: pip install pillow-avif-plugin")
    if not features.check("jpg_2000"):
        missing |= dict.fromkeys(
            _JPEG_2000.split(), f"JPEG 2000, {here}: install a Pillow that has OpenJPEG"
        )
    if not features.check("webp"):
        missing[".webp"] = f"WebP, {here}: install a Pillow that has libwebp"
    return missing


def kind_of(name: str) -> tuple[FileKind, str]:
    """What a file's name says, and its suffix in lower case."""
    suffix = os.path.splitext(name)[1].rstrip().lower()
    return _kinds().get(suffix, FileKind.UNSAID), suffix


def kind_by_content(path: str) -> tuple[FileKind, str]:
    """What the first bytes of a file say, and the suffix that it should have.

    Raises:
        OSError: it cannot be opened or read.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    suffix = suffix_by_content(head)
    return (_kinds()[suffix], suffix) if suffix else (FileKind.OTHER, "")


def suffix_by_content(head: bytes) -> str | None:
    """The usual suffix of the image that begins with these bytes; None: it is no known image."""
    for suffix, mark in _MARKS:
        if mark.match(head):
            return suffix
    return None


def _registered(module: str, function: str | None = None) -> bool:
    """Whether a plugin of Pillow is installed; if so, Pillow knows it from now on."""
    if importlib.util.find_spec(module) is None:
        return False
    loaded = importlib.import_module(module)  # most plugins register themselves at import
    if function is not None:
        getattr(loaded, function)()
    return True


@cache
def _kinds() -> dict[str, FileKind]:
    return {
        **dict.fromkeys(_OTHERS.split(), FileKind.OTHER),
        **dict.fromkeys(_ARCHIVES.split(), FileKind.ARCHIVE),
        **dict.fromkeys([*_IMAGES.split(), ".jxl"], FileKind.IMAGE),
        **dict.fromkeys(cannot_read(), FileKind.NEEDS_MORE),
    }


_MARKS = [
    (suffix, re.compile(pattern, re.DOTALL))
    for suffix, pattern in (
        (".png", rb"\x89PNG\r\n\x1a\n"),
        (".jpg", rb"\xff\xd8\xff"),
        (".gif", rb"GIF8[79]a"),
        (".webp", rb"RIFF....WEBP"),
        (".tif", rb"II[*+]\x00|MM\x00[*+]"),
        (".bmp", rb"BM.{8}....[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"),
        (".ppm", rb"P[1-6]\s+(#|\d+\s)"),
        (".jp2", rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        (".avif", rb"....ftypavi[fs]"),
        (".heic", rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)"),
        (".jxl", rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n"),
        (".dds", rb"DDS |qoif"),
        (".dcm", rb".{128}DICM"),
        (".exr", rb"\x76\x2f\x31\x01"),
    )
]
