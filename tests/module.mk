# Tools that tests and benchmarks use; they belong to no daemon.
tests_TOOLS := stamp rtmp_push lossy_switch
tests_PKGS := librtmp
