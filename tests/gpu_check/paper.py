"""Which tests show as much of a check as can be shown without a GPU, with stubs and with what real
drivers print; by the check's function. A check that is not here can be shown on a GPU alone."""

GPUS, GATE, BOX = "tests/test_gpus.py::", "tests/test_gate.py::", "tests/test_sandbox.py::"
SLOT, THIS = "tests/test_slot.py::", "tests/test_gpu_check.py::"

PAPER = {
    "detection": GPUS + "test_what_is_found",
    "no_choice": GPUS + "test_a_choice_that_is_none_is_an_error_and_never_all_gpus",
    "locks": GATE + "test_two_executors_never_share_a_gpu",
    "kernel_log": GPUS + "test_a_line_of_the_log_that_comes_in_two_parts",
    "examples": "tests/test_end_to_end.py::test_the_examples_say_something_sensible_without_a_gpu",
    "labs": "tests/test_labs_end_to_end.py::test_the_kernel_beside_cublas_and_a_second_source",
    "raw_answers": "tests/test_gpu_answers.py",
    "own_files": BOX + "test_a_program_sees_the_files_of_its_own_gpu_alone",
    "one_gpu": BOX + "test_a_program_sees_the_files_of_its_own_gpu_alone",
    "other_gpus": BOX + "test_a_program_sees_the_files_of_its_own_gpu_alone",
    "stamps": GPUS + "test_what_is_stamped",
    "all_memory": GPUS + "test_memory_that_nobody_gives_back_fails",
    "bad_address": GPUS + "test_an_xid_of_a_programs_own_raises_doubt_alone",
    "kernel_floods": SLOT + "test_a_program_that_prints_without_end_is_stopped",
    "memory_by_watchdog": "tests/test_hostile.py, with ordinary memory",
    "memory_by_cgroups": BOX + "test_what_the_kernel_killed_for_memory_has_that_outcome",
    "starts_kernels": "tests/test_labs.py::test_a_job_s_flags_reach_the_compiler",
    "killed_kernel": SLOT + "test_the_time_limit_ends_the_whole_group",
    "killed_children": SLOT + "test_what_a_program_leaves_behind_is_killed_and_does_not_count",
    "killed_grid": SLOT + "test_the_time_limit_ends_the_whole_group",
    "reaped": GATE + "test_a_process_that_cannot_be_killed_takes_its_gpu_out",
    "gate": GATE + "test_a_gpu_with_a_process_on_it_is_quarantined_alone_and_comes_back",
    "gate_costs": GPUS + "test_an_nvidia_smi_that_hangs_is_left_behind",
    "stops": GATE + "test_a_host_in_quarantine_stops_at_once_when_told",
    "all_at_once": GATE + "test_each_worker_has_its_gpu_and_each_result_its_stamp",
    "two_starts": GATE + "test_two_executors_never_share_a_gpu",
    "instances": GPUS + "test_the_instances_of_a_gpu_that_is_split_are_gpus",
    "persistence_off": GATE + "test_an_nvidia_smi_that_hangs_quarantines_its_gpu_alone",
    "boot": THIS + "test_as_after_a_boot_there_are_no_device_files_of_nvidia",
    "settings_kept": THIS + "test_executors_cannot_change_settings_unless_that_is_allowed",
}
