"""Which tests show as much of a check as can be shown without a GPU, with stubs and with what real
drivers print; by the check's function. A check that is not here can be shown on a GPU alone."""

GPUS, GATE, BOX = "tests/test_gpus.py::", "tests/test_gate.py::", "tests/test_sandbox.py::"
FINDING, START = "tests/test_finding_gpus.py::", "tests/test_driver_start.py::"
PERSISTENCE, SHOWN = "tests/test_persistence.py::", "tests/test_box.py::"
ACCESS, SHORTAGE = "tests/test_device_access.py::", "tests/test_memory_shortage.py::"
TOOLS = "tests/test_tools_in_the_box.py::"
SLOT, THIS = "tests/test_slot.py::", "tests/test_gpu_check.py::"

PAPER = {
    "detection": START + "test_a_gpu_on_the_bus_that_nvidia_smi_does_not_list_is_waited_for",
    "no_choice": GPUS + "test_a_choice_that_is_none_is_an_error_and_never_all_gpus",
    "locks": "tests/test_gpu_locks.py::test_the_lock_cannot_be_taken_by_another_user",
    "kernel_log": GPUS + "test_xids_in_the_forms_of_the_kernels_log",
    "examples": "tests/test_end_to_end.py::test_the_examples_say_something_sensible_without_a_gpu",
    "labs": "tests/test_labs_end_to_end.py::test_the_kernel_beside_cublas_and_a_second_source",
    "raw_answers": "tests/test_gpu_answers.py",
    "own_files": ACCESS + "test_a_group_is_asked_for_only_where_it_is_needed",
    "one_gpu": SHOWN + "test_a_program_sees_the_drivers_files_of_its_own_gpu",
    "other_gpus": SHOWN + "test_the_other_gpu_is_another_folder",
    "stamps": GPUS + "test_what_is_stamped",
    "all_memory": GPUS + "test_memory_that_nobody_gives_back_fails",
    "bad_address": GPUS + "test_an_xid_of_a_programs_own_raises_doubt_alone",
    "kernel_floods": SLOT + "test_a_program_that_prints_without_end_is_stopped",
    "memory_by_watchdog": SHORTAGE + "test_the_only_job_that_ran_when_memory_fell_has_it",
    "memory_by_cgroups": SHORTAGE + "test_beside_a_cgroup_the_slot_looks_too",
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
    "instances": FINDING + "test_instances_are_found_also_where_the_mode_cannot_be_read",
    "persistence_off": PERSISTENCE
    + "test_a_driver_that_nobody_keeps_up_is_waited_for_at_each_look",
    "boot": "tests/test_device_files.py::test_missing_device_files_are_made",
    "settings_kept": THIS + "test_executors_cannot_change_settings_unless_that_is_allowed",
    "runs": SHOWN + "test_all_that_libcuda_opens_is_there",
    "runs_tightly": SHOWN + "test_all_that_libcuda_opens_is_there",
    "compute_sanitizer": TOOLS + "test_compute_sanitizer_does_in_the_sandbox_what_it_does_outside",
    "logged_calls": TOOLS + "test_compute_sanitizer_makes_only_usual_calls",
}
