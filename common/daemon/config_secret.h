/* config_secret.h - a secret that lies in a file of its own, as container engines, Kubernetes and systemd hand them out.
 * For config.c. Any thread; blocks for one small read. */
#ifndef COMMON_DAEMON_CONFIG_SECRET_H
#define COMMON_DAEMON_CONFIG_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* The file's content without the newline at its end, which the caller frees. *exposed: everybody on this machine may read
 * it, and it lies where its mode can be changed. NULL: it cannot be read, is no regular file, is empty, holds a zero byte or
 * more than max_bytes; why says which. */
char *config_secret_read(const char *path, size_t max_bytes, bool *exposed, char *why, size_t why_cap);

#endif
