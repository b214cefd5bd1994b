"""Mutations of the job, the ledger and what is shown: what is asked for, what is known, what is reported."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutant import Edit, Mutation, mutation

_CONNECTION: Final = "bulkops/ledger/connection.py"
_FREEZE: Final = "bulkops/ledger/freeze.py"
_GROUP: Final = "bulkops/ledger/group.py"
_LOCK: Final = "bulkops/ledger/lock.py"
_OPENING: Final = "bulkops/app/opening.py"
_RULES: Final = "bulkops/job/rules.py"
_RESULTS: Final = "bulkops/report/results.py"
_FILES: Final = "bulkops/cli/files.py"
_LOGS: Final = "bulkops/cli/logs.py"

_PROMISES: Final = "tests/integration/test_promises.py"
_CONTRACT: Final = "tests/unit/test_ledger_contract.py"
_DAMAGE: Final = "tests/unit/test_ledger_damage.py"
_FREEZE_TESTS: Final = "tests/unit/test_ledger_freeze.py"
_RESULTS_TESTS: Final = "tests/unit/test_report_results.py"

MUTATIONS: Final = (
    mutation(
        "remove the sync",
        "what the ledger calls durable survives a loss of power",
        _CONNECTION,
        "pragma synchronous=full;",
        "pragma synchronous=off;",
        f"{_PROMISES}::test_every_commit_is_synced",
    ),
    mutation(
        "a frozen ledger is not synced before it gets its name",
        "a ledger that has its name is whole, even after a loss of power",
        _FREEZE,
        "        _sync(path)\n        folder",
        "        folder",
        f"{_PROMISES}::test_a_ledger_is_synced_before_it_gets_its_name",
    ),
    mutation(
        "an intent is durable as soon as it is noted",
        "before the first byte of a call leaves, the ledger durably says that the attempt began",
        _GROUP,
        "        group.begun.update([intent.seq for intent in intents])\n        group.waiters.append(waiter)\n",
        "        group.begun.update([intent.seq for intent in intents])\n        waiter.set_result(None)\n",
        f"{_PROMISES}::test_an_intent_is_done_once_it_is_durable",
    ),
    Mutation(
        "settle before durable",
        "a result is durable before it is counted, shown or reported",
        (
            Edit(_GROUP, "        self._tally.add(added)\n", ""),
            Edit(
                _GROUP,
                "        group.changes.seen_at = self._clock.utc()\n",
                "        group.changes.seen_at = self._clock.utc()\n"
                "        from bulkops.ledger.tally import difference\n"
                "        self._tally.add(difference(group.changes, ours=set(), orphaned=set()))\n        self._figures = None\n",
            ),
        ),
        (f"{_PROMISES}::test_a_result_is_counted_once_it_is_durable",),
    ),
    mutation(
        "go on writing after a failed commit",
        "after a failed sync nothing is written any more",
        _GROUP,
        "        self._failed = error\n",
        "",
        f"{_PROMISES}::test_after_a_failed_commit_nothing_is_written",
    ),
    mutation(
        "what a crash left under way is forgotten",
        "after a kill no operation is lost",
        "bulkops/ledger/recovery.py",
        "    if total:\n",
        "    if False:\n",
        f"{_CONTRACT}::test_recovered_operations_are_sent_again_first_and_counted_once",
    ),
    mutation(
        "what a crash left under way is not in doubt",
        "what may have been carried out already is never called anything but in doubt",
        "bulkops/ledger/sql/recovery.sql",
        "SET calls = calls + 1, in_doubt = 1,",
        "SET calls = calls + 1,",
        f"{_CONTRACT}::test_recovered_operations_are_sent_again_first_and_counted_once",
    ),
    mutation(
        "no margin across a resume",
        "no second holds more than the limit, also across a resume",
        _OPENING,
        "    whole = WINDOW + MARGIN\n",
        "    whole = 0.0\n",
        f"{_PROMISES}::test_the_limit_holds_across_two_processes",
    ),
    mutation(
        "the lock is not taken",
        "two processes never work on one ledger",
        _LOCK,
        "        fcntl.flock(handle, kind | fcntl.LOCK_NB)\n",
        "        pass\n",
        f"{_PROMISES}::test_a_ledger_has_one_holder",
    ),
    mutation(
        "lanes are not locked",
        "two runs never share a lane without being told to",
        "bulkops/ledger/lanes.py",
        "fcntl.LOCK_SH if shared else fcntl.LOCK_EX",
        "fcntl.LOCK_SH",
        f"{_PROMISES}::test_a_lane_has_one_user",
    ),
    Mutation(
        "page checksums off",
        "a flipped bit in a ledger is never read as a result",
        (
            Edit(_CONNECTION, "self._open.reserve_bytes(reserve=RESERVED_BYTES)", "self._open.reserve_bytes(reserve=0)"),
            Edit(_CONNECTION, "return self._open.reserve_bytes() == RESERVED_BYTES", "return True"),
        ),
        (f"{_DAMAGE}::test_a_flipped_bit_is_refused_or_harmless", f"{_DAMAGE}::test_a_flipped_bit_has_words_of_its_own"),
    ),
    mutation(
        "a damaged log is cut off in silence",
        "a committed result never disappears without a word",
        "bulkops/ledger/wal.py",
        "        if behind > 1 or self.acknowledged > accepted:\n",
        "        if False:\n",
        f"{_DAMAGE}::test_a_flipped_bit_in_the_log_is_refused_or_harmless",
        f"{_DAMAGE}::test_a_damaged_log_has_words_of_its_own",
    ),
    Mutation(
        "a ledger that others can read",
        "every file is readable by its owner only, whatever the umask",
        (
            Edit(_CONNECTION, "os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)", "os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)"),
            Edit(_CONNECTION, "            os.fchmod(handle, 0o600)\n", "            pass\n"),
        ),
        (f"{_FREEZE_TESTS}::test_a_ledger_is_private_whatever_the_umask",),
    ),
    mutation(
        "a symbolic link at the lock is followed",
        "no file is written through a symbolic link",
        _LOCK,
        "os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_RDWR | os.O_CREAT | os.O_CLOEXEC",
        f"{_PROMISES}::test_a_lock_follows_no_symbolic_link",
    ),
    mutation(
        "a symbolic link at the log file is followed",
        "no file is written through a symbolic link",
        _FILES,
        "os.O_APPEND | os.O_NOFOLLOW |",
        "os.O_APPEND |",
        f"{_PROMISES}::test_a_log_file_follows_no_symbolic_link",
    ),
    mutation(
        "duplicates are not folded",
        "two rows that ask for the same call are one operation",
        _FREEZE,
        "        if not repeats:\n            return 0, 0, 0\n",
        "        return 0, 0, 0\n",
        f"{_FREEZE_TESTS}::test_repeats_are_found_however_far_apart_and_the_first_one_stays",
    ),
    mutation(
        "ids are stripped",
        "an id is never trimmed: what is sent is byte for byte what the file says",
        _RULES,
        "        check_text(field, text)\n    return texts\n",
        "        check_text(field, text.strip())\n    return [text.strip() for text in texts]\n",
        f"{_PROMISES}::test_values_are_sent_byte_for_byte",
    ),
    mutation(
        "bad rows stop nothing",
        "by default one bad row means that nothing is sent",
        "bulkops/app/freezing.py",
        '    if total and source.on_invalid == "stop":\n',
        "    if False:\n",
        f"{_PROMISES}::test_one_bad_row_and_nothing_is_sent",
    ),
    mutation(
        "a sandbox ledger goes on against a real host",
        "a sandbox ledger never continues against a real host",
        _OPENING,
        "    if store.job().sandbox and not settings.sandbox:\n",
        "    if False:\n",
        f"{_PROMISES}::test_a_sandbox_ledger_stays_in_the_sandbox",
    ),
    mutation(
        "another app continues a ledger",
        "a ledger belongs to one app from its first result on",
        _OPENING,
        "    if app is not None and app != settings.sdkappid:\n",
        "    if False:\n",
        f"{_PROMISES}::test_a_ledger_belongs_to_its_app",
    ),
    mutation(
        "results cells are not quoted",
        "every cell of the results is quoted",
        _RESULTS,
        "quoting=csv.QUOTE_ALL",
        "quoting=csv.QUOTE_MINIMAL",
        _RESULTS_TESTS,
    ),
    mutation(
        "info is not escaped",
        "what a server wrote is inert in a spreadsheet and on a screen",
        _RESULTS,
        "attempts, code, escape_info(info), when(finished_at)]",
        "attempts, code, info, when(finished_at)]",
        f"{_RESULTS_TESTS}::test_info_is_inert_on_a_terminal_and_in_a_spreadsheet",
    ),
    mutation(
        "ids are made harmless",
        "the operation's columns are byte for byte what the job said",
        _RESULTS,
        "                fields[place] = value\n",
        "                fields[place] = escape_info(value)\n",
        _RESULTS_TESTS,
    ),
    mutation(
        "a screen gets what a server wrote",
        "no control character from elsewhere reaches a terminal",
        "bulkops/report/escape.py",
        '        return text\n    return "".join(char if',
        '        return text\n    return text or "".join(char if',
        "tests/unit/test_report_escape.py",
    ),
    mutation(
        "logs are not redacted",
        "no key and no UserSig gets into a log",
        _LOGS,
        "self._redact(super().format(record))",
        "super().format(record)",
        "tests/unit/test_cli_channels.py::test_no_secret_reaches_a_log",
    ),
    mutation(
        "a run without a call forgets when the one before made its last",
        "no second holds more departures than the limit, across processes as well",
        "bulkops/ledger/lanes.py",
        "last_departure=last_departure or self._before))\n",
        "last_departure=last_departure))\n",
        "tests/unit/test_ledger_lock.py",
    ),
)
