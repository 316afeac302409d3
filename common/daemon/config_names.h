/* config_names.h - what the keys of all four daemons are called, and the files of secrets: daemons may share one environment, so a
 * variable that means nothing to this one may mean something to another. A new key is to be added here; a test compares. */
#ifndef COMMON_DAEMON_CONFIG_NAMES_H
#define COMMON_DAEMON_CONFIG_NAMES_H

extern const char *const config_names[]; /* sorted; NULL at the end */

#endif
