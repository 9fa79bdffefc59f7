"""Options of the command line that link planes."""

from collections.abc import Sequence

from napari_unet.errors import InputError
from napari_unet.settings import LinkSettings, checked

LINK_HELP = "One id for an object through Z and time; default on for stacks and movies."
SETTING_HELP = (
    "How planes are linked, as NAME=VALUE, such as gap=2 or divisions=false; may be given again. "
    f"Names: {', '.join(LinkSettings.model_fields)}."
)


def link_settings_of(texts: Sequence[str], *, link: bool | None) -> LinkSettings:
    """Return settings of linking from texts; `InputError` where one cannot be used."""
    if texts and link is False:
        raise InputError(
            f"The setting {texts[0]} of linking was given with --no-link; leave out one of them."
        )
    found = dict[str, str]()
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise InputError(
                f"The setting {text!r} of linking was given; it must be NAME=VALUE, such as gap=2."
            )
        found[name] = value
    return checked(LinkSettings, **found)
