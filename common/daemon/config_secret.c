#include "common/daemon/config_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/mem.h"

/* Up to cap bytes; fewer only at the end of the file. -1: errno. */
static ssize_t read_fully(int fd, char *dst, size_t cap)
{
        size_t len = 0;
        while (len < cap) {
                ssize_t n = read(fd, dst + len, cap - len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                if (n == 0)
                        break;
                len += (size_t)n;
        }
        return (ssize_t)len;
}

static bool read_only_mount(int fd)
{
        struct statvfs fs;
        return fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

/* Cuts the line end. NULL: it cannot be a secret. */
static char *judge(char *text, size_t len, size_t max_bytes, char *why, size_t why_cap)
{
        if (len && text[len - 1] == '\n')
                len--;
        if (len && text[len - 1] == '\r')
                len--;
        text[len] = '\0';
        if (len == 0)
                snprintf(why, why_cap, "it is empty");
        else if (len > max_bytes)
                snprintf(why, why_cap, "it holds more than %zu bytes", max_bytes);
        else if (strlen(text) != len)
                snprintf(why, why_cap, "it holds a zero byte");
        else
                return text;
        return NULL;
}

char *config_secret_read(const char *path, size_t max_bytes, bool *exposed, char *why, size_t why_cap)
{
        struct stat st;
        char *text = NULL, *good = NULL;
        size_t cap = max_bytes + 3; /* the line end, and one that is too much */
        ssize_t len;
        /* a pipe without a writer must not hang the daemon */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) != 0) {
                snprintf(why, why_cap, "it cannot be read: %s", strerror(errno));
        } else if (!S_ISREG(st.st_mode)) {
                snprintf(why, why_cap, "it is no regular file");
        } else {
                text = mem_alloc(cap + 1);
                len = read_fully(fd, text, cap);
                if (len < 0)
                        snprintf(why, why_cap, "it cannot be read: %s", strerror(errno));
                else
                        good = judge(text, (size_t)len, max_bytes, why, why_cap);
                *exposed = st.st_mode & S_IROTH && !read_only_mount(fd);
        }
        if (fd >= 0)
                close(fd);
        if (!good)
                free(text);
        return good;
}
