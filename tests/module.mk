# Tools that tests and benchmarks use; they belong to no daemon.
tests_TOOLS := stamp rtmp_push
tests_PKGS := librtmp
