"""Run the tests that threads, processes and clocks have a hand in many times on a busy machine.

    python tests/flaky.py              ten times, beside one busy loop a core
    python tests/flaky.py --times 3

A test that fails once in ten is wrong: a busy machine is no fault of what is tested. Such a test is
mended by waiting for what happens instead of how long it takes. Exit code 1 if any failed.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVER, WORKER = "generate/endpoint/test_server.py", "corpus/engine/test_worker.py"
TESTS = (
    f"{SERVER}::test_a_server_that_hangs_or_drips_is_left_after_so_many_attempts"
    "[hang-times0-silent]",
    f"{SERVER}::test_a_server_that_hangs_or_drips_is_left_after_so_many_attempts"
    "[hang-times1-no whole answer within 0.1 s]",
    f"{SERVER}::test_a_server_that_hangs_or_drips_is_left_after_so_many_attempts"
    "[drip-times2-no whole answer within 0.2 s]",
    f"{SERVER}::test_a_server_that_hangs_or_drips_once_is_tried_again[hang]",
    f"{SERVER}::test_a_server_that_hangs_or_drips_once_is_tried_again[drip]",
    f"{SERVER}::test_a_request_has_a_deadline_over_all_its_attempts",
    f"{SERVER}::test_a_wait_beyond_the_deadline_is_not_waited",
    f"{SERVER}::test_a_server_may_ask_everybody_to_wait",
    f"{SERVER}::test_only_so_many_requests_are_in_the_air",
    f"{SERVER}::test_a_fast_answer_does_not_wait_for_a_slow_one",
    f"{SERVER}::test_requests_go_no_faster_than_allowed",
    f"{SERVER}::test_ctrl_c_stops_a_run_that_waits_for_an_answer",
    "generate/endpoint/test_client.py::test_results_come_in_the_order_in_which_they_land",
    "generate/endpoint/test_client.py::test_leaving_cancels_what_is_in_the_air",
    "generate/endpoint/test_client.py::test_a_reader_that_does_not_come_holds_back_the_rest",
    "generate/endpoint/test_client.py::test_a_pace_spaces_requests_and_counts_tokens",
    "test_cli.py::test_wrong_use_is_told_by_the_first_process_and_by_others_if_the_first_goes_on",
    "corpus/engine/test_executors.py::test_results_are_in_the_order_of_items_and_heard_as_they_come",
    "corpus/engine/test_executors.py::test_an_error_ends_all_workers",
    f"{WORKER}::test_what_hangs_or_kills_is_left_out_with_its_reason",
    f"{WORKER}::test_time_that_others_take_costs_no_record",
    f"{WORKER}::test_the_time_that_a_process_took_is_known",
    f"{WORKER}::test_a_death_that_does_not_come_back_costs_nothing",
    f"{WORKER}::test_a_worker_ends_with_its_parent[starting]",
    f"{WORKER}::test_a_worker_ends_with_its_parent[busy]",
    "evaluate/harness/test_runner.py::test_a_killed_run_goes_on_and_asks_no_finished_request_again",
    "train/services/test_watchdog.py::test_the_slower_of_two_processes_is_named_by_the_first",
    "train/services/test_watchdog.py::test_a_process_that_is_stuck_is_ended_with_an_error",
    "train/checkpoint/test_writing.py"
    "::test_an_error_of_the_thread_comes_out_once_where_it_is_waited_for",
    "core/test_ledger.py::test_writers_at_once_keep_one_order",
    "core/test_ledger.py::test_of_many_movers_one_wins",
    "core/test_ledger.py::test_a_writer_waits_for_the_one_before",
    "core/test_ledger.py::test_processes_do_not_overwrite_each_other",
    "core/test_artifact.py::test_two_runs_into_one_folder_and_a_kill",
    "core/test_native.py::test_runs_that_start_together_do_not_meet",
    "core/sandbox/test_sandbox.py::test_it_runs_programs_and_contains_them",
    "core/sandbox/test_sandbox.py::test_programs_side_by_side_do_not_meet",
    "measure/review/test_server.py::test_two_reviewers_at_once_each_have_a_sheet",
    "properties/test_atomic.py"
    "::test_a_kill_before_any_call_leaves_the_old_state_or_the_new_one[ledger]",
    "properties/test_durable.py"
    "::test_what_is_published_is_synced_first_and_its_name_after[checkpoint beside]",
)


def run(times: int, loops: int) -> Counter[str]:
    """How often each test failed."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=0"]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    failed: Counter[str] = Counter()
    try:
        for number in range(1, times + 1):
            command = [*words, "-rf", *(f"tests/{test}" for test in TESTS)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode > 1:  # nothing ran: wrong names, or a test that cannot be imported
                sys.exit(done.stdout + done.stderr)
            own = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            failed.update(own)
            print(f"{number}/{times}  {done.stdout.strip().splitlines()[-1]}", flush=True)
            if own:
                print(done.stdout)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return failed


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--loops", type=int, default=os.cpu_count(), help="busy loops beside")
    given = parser.parse_args()
    failed = run(given.times, given.loops)
    for name, count in failed.most_common():
        print(f"{count} of {given.times} failed: {name}")
    print(f"{len(TESTS)} tests {given.times} times: {sum(failed.values())} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
