"""kosoku: the cases of the Autobahn test suite (RFC 6455), against the echo."""

import asyncio
import collections

import kosoku

from servers import echo

# Compression (RFC 7692) is not offered: payloads are meant to be ciphertext, which does not shrink.
EXCLUDED = ["12.*", "13.*"]
CASES = 301
CONCURRENCY = 4

# What is not simply OK, and why it may. Anything else, and any of these that becomes OK, fails the suite.
EXPECTED = {
    "6.4.3": ("NON-STRICT", "A frame is taken as a whole: text that is no UTF-8 is found at the frame's end, not at its byte."),
    "6.4.4": ("NON-STRICT", "The same, with the wrong byte somewhere else."),
    "7.1.6": ("INFORMATIONAL", "How much of 256 KiB is echoed when a close follows: the RFC leaves it open."),
    "7.13.1": ("INFORMATIONAL", "A close with code 5000, which nobody gave a meaning: the RFC leaves it open."),
    "7.13.2": ("INFORMATIONAL", "The same with code 65535."),
}


def run(binaries, tools):
    with echo(binaries) as address:
        try:
            results = asyncio.run(kosoku.run_fuzzingclient(address, None, EXCLUDED, concurrency=CONCURRENCY))
        except kosoku.FailureError as failure:
            results = failure.results
    assert len(results) == CASES, f"{len(results)} of {CASES} cases ran"
    odd = {result.case_id: result for result in results if _verdict(result) != ("OK", "OK")}
    wrong = [f"{case}: {_verdict(result)}: {result.description}" for case, result in odd.items() if not _allowed(result)]
    wrong += [f"{case} is OK now: take it out of EXPECTED" for case in EXPECTED if case not in odd]
    assert not wrong, "\n".join(wrong)
    counts = collections.Counter(result.behavior.value for result in results)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def _verdict(result):
    return result.behavior.value, result.behavior_close.value


def _allowed(result):
    expected = EXPECTED.get(result.case_id)
    return result.passed and expected is not None and result.behavior.value == expected[0]
