/* version.h - which Freshet this is: the file VERSION, and the commit it was built from. Constant; any thread. */
#ifndef COMMON_DAEMON_VERSION_H
#define COMMON_DAEMON_VERSION_H

extern const char version_number[];   /* "0.9.0" */
extern const char version_revision[]; /* `git describe`, or what the builder gave as REVISION; "unknown": neither */

#endif
