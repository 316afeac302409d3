/* fatal.h - the last line of a process that ends otherwise than it should: an assertion, abort() of a library, a signal that a fault of
 * ours causes. It has ts= and node= as every line of the log has, so that who collects logs sees of which node it is.
 *
 * fatal_watch() once, after log_init(). A failed assert() then is a line by itself: __assert_fail() is ours, and the C library's words
 * stay in it. Signals do as before, with a core if there is to be one. Builds with a sanitizer have its report instead. */
#ifndef COMMON_DAEMON_FATAL_H
#define COMMON_DAEMON_FATAL_H

void fatal_watch(void);

#endif
