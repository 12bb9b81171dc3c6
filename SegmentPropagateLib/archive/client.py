"""What is asked of an archive: which files a series has, one of them, and to keep another. dicomweb-client asks.

Standard: https://dicom.nema.org/medical/dicom/current/output/chtml/part18/PS3.18.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import requests

from SegmentPropagateLib.archive.session import (
    PASSWORD,
    TOKEN,
    USER,
    check_address,
    is_readable_on_the_way,
    new_session,
)
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.dicom_segments import one_sentence
from SegmentPropagateLib.wording import are, counted

_TIMEOUT_S = (10, 60)  # to connect, between two reads
_MOST_FILES = 100_000  # of a series
_MOST_TOLD = 8  # series in a sentence
_CHUNK_BYTES = 1 << 31  # all at once: not every archive and proxy takes what comes without its length
_LONGEST_UID = 64
_CHECK = "check the address (Orthanc's is http://HOST:8042/dicom-web)"


def check_uid(text: object, what: str) -> str:
    """Raise InputError unless it is the identity of something in DICOM, which is made of digits and dots.

    Only then it may become a part of an address, or the name of a file.
    """
    if isinstance(text, str) and len(text) <= _LONGEST_UID and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
        return text
    raise InputError(f"{what} is {str(text)[:80]!r}, which is no UID: those are digits and dots, such as 1.2.840.1.")


class Archive:
    """An archive at an address; nothing is asked before a method is called.

    Args:
        url: of the service, such as `https://HOST/dicom-web`.
        notify: takes a sentence about what is doubtful.

    Raises:
        InputError: that is no address, it holds a password, or dicomweb-client is not installed.
    """

    def __init__(self, url: str, notify: Callable[[str], None] = lambda _sentence: None) -> None:
        url = check_address(url)
        self.host = urlsplit(url).netloc
        self._client = _client_of(url)
        if is_readable_on_the_way(url):
            notify(f"The connection to {self.host} is not encrypted: use https where the archive offers it.")

    def files_of(self, study: str, series: str) -> list[str]:
        """The SOPInstanceUID of each file of a series.

        Raises:
            InputError: there is no such series, or the archive cannot be asked.
        """
        found: dict[str, None] = {}
        while True:  # in pages, if the archive likes to
            with self._in_one_sentence(f"the series {series}"):
                page = self._client.search_for_instances(study, series, offset=len(found) or None)
                fresh = [item["00080018"]["Value"][0] for item in page]
            count = len(found)
            found.update((check_uid(uid, f"A file of {self.host}"), None) for uid in fresh)
            if len(found) == count:
                break
            if len(found) > _MOST_FILES:
                raise InputError(f"{self.host} tells of more than {_MOST_FILES} files of one series: {_CHECK}.")
        if not found:
            raise InputError(
                f"{self.host} has no series {series} in the study {study}: check both; {self._series_of(study)}."
            )
        return list(found)

    def _series_of(self, study: str) -> str:
        """What a study has, in words."""
        with self._in_one_sentence(f"the study {study}"):
            items = self._client.search_for_series(study)
            words = [[_first(item, tag) for tag in ("0020000E", "00080060", "0008103E")] for item in items]
        told = [f"{uid} ({', '.join(filter(None, others))})" for uid, *others in words[:_MOST_TOLD]]
        more = f" and {len(words) - _MOST_TOLD} more" if len(words) > _MOST_TOLD else ""
        return f"the study has {'; '.join(told)}{more}" if told else "the study has none at all"

    def file(self, study: str, series: str, uid: str) -> Any:
        """One file, a `pydicom.Dataset`.

        Raises:
            InputError: it cannot be had, is cut off, or is another one.
        """
        with self._in_one_sentence(f"the file {uid}"):
            dataset = self._client.retrieve_instance(study, series, uid)
            identity = str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)
            _check_complete(dataset)
        if identity != (study, series, uid):
            raise InputError(f"{self.host} sent another file than {uid}, which was asked for: {_CHECK}.")
        return dataset

    def keep(self, dataset: Any) -> None:
        """Send a file, and have the archive confirm that it keeps it.

        Raises:
            InputError: it does not.
        """
        uid = str(dataset.SOPInstanceUID)
        with self._in_one_sentence(f"the file {uid}"):
            answer = self._client.store_instances([dataset])
            kept = [str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()]
            reasons = [f"reason {int(item.FailureReason):04X}" for item in answer.get("FailedSOPSequence") or ()]
        if reasons or uid not in kept:
            reason = ", ".join(reasons) or "it does not say that it keeps it"
            raise InputError(f"{self.host} did not take the file {uid} ({reason}): ask whoever runs it.")

    @contextmanager
    def _in_one_sentence(self, what: str) -> Iterator[None]:
        """Turn what requests, dicomweb-client and pydicom raise into an InputError."""
        from pydicom.errors import InvalidDicomError

        strange = f"{self.host} does not answer as an archive does, about {what}"
        try:
            with one_sentence(strange, _CHECK):
                yield
        except requests.HTTPError as error:
            raise InputError(self._refusal(error, what)) from error
        except requests.exceptions.SSLError as error:
            raise InputError(
                f"The secure connection to {self.host} failed ({_reason_of(error)}): check the address; where the "
                f"hospital signs its own certificates, set REQUESTS_CA_BUNDLE to the file of them."
            ) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise InputError(
                f"{self.host} cannot be reached, or the connection broke off ({_reason_of(error)}): check address and "
                f"network, and give the same command again."
            ) from error
        except (requests.RequestException, InvalidDicomError, ParseError) as error:
            raise InputError(f"{strange} ({_reason_of(error)}): {_CHECK}.") from error
        except OSError as error:  # of a file that the environment names
            raise InputError(f"{self.host} cannot be asked ({_reason_of(error)}): set what it names right.") from error

    def _refusal(self, error: requests.HTTPError, what: str) -> str:
        """Why an archive does not do what was asked."""
        answer = error.response
        status, reason = (0, "") if answer is None else (answer.status_code, answer.reason)
        if status == 401:
            said = answer is not None and "Authorization" in answer.request.headers
            wrong = "does not accept the password or token" if said else "wants a password"
            return f"{self.host} {wrong} (401): set {USER} and {PASSWORD}, or {TOKEN}, or write ~/.netrc."
        if status in (403, 407):
            return f"{self.host} does not allow that ({status}): ask whoever runs it."
        if status == 405:  # there is something, but nothing that files are asked of or sent to
            return f"{self.host} is no archive at this address (405): {_CHECK}."
        if status in (404, 410):
            return f"{self.host} does not know {what} ({status}): check it and its study, or {_CHECK}."
        if status in (400, 409, 413, 415, 422):
            return f"{self.host} does not take {what} ({status} {reason}): ask whoever runs it."
        return f"{self.host} answered {status} {reason} about {what}: give the same command again later."


def _client_of(url: str) -> Any:
    try:
        from dicomweb_client.api import DICOMwebClient
    except ImportError as error:
        raise InputError(
            "Archives are asked by dicomweb-client, which is not installed: run `pip install dicomweb-client`."
        ) from error
    logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())  # else what an archive says gets to stderr
    client = DICOMwebClient(url, new_session(), timeout=_TIMEOUT_S, chunk_size=_CHUNK_BYTES)
    client.set_http_retry_params(retry=False)  # the session does
    return client


def _first(item: Any, tag: str) -> str:
    """The first value of an element in JSON, which may have none."""
    return str((item.get(tag, {}).get("Value") or [""])[0])[:_LONGEST_UID]


def _check_complete(dataset: Any) -> None:
    """Raise ValueError where the end of the voxels is missing, of which pydicom says nothing."""
    from pydicom.pixels.utils import get_expected_length

    if "PixelData" in dataset and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        missing = get_expected_length(dataset) - len(dataset.PixelData)
        if missing > 0:
            raise ValueError(f"{counted(missing, 'byte')} of voxels {are(missing)} missing")


def _reason_of(error: BaseException) -> str:
    """The innermost cause in a few words: those of requests hold others like dolls."""
    while isinstance(error, requests.RequestException) and error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, BaseException) else error)
    text = re.sub(r"<[^>]*>:? ?|\(_ssl\.c:\d+\)|HTTPS?Connection(Pool)?\([^)]*\):? ?", "", text)
    return " ".join(text.split())[:160].rstrip(". ") or type(error).__name__
