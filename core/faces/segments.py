"""Names of the segmentation classes; a class's number is its place in `SEGMENTS`."""

SEGMENTS: tuple[str, ...] = (
    "background",
    "skin",
    "brow",
    "eye",
    "lips",
    "mouth",
    "glasses",
    "hair",
    "ear",
    "beard",
    "neck",
    "cloth",
)

(BACKGROUND, SKIN, BROW, EYE, LIPS, MOUTH, GLASSES, HAIR, EAR, BEARD, NECK, CLOTH) = range(
    len(SEGMENTS)
)
