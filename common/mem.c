#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"

static void *checked(void *p, size_t len_bytes)
{
        if (p)
                return p;
        log_fatal("bytes=%zu msg=\"out of memory\"", len_bytes);
        abort();
}

void mem_out(const char *of_what)
{
        log_fatal("for=\"%s\" msg=\"out of memory\"", of_what);
        abort();
}

void *mem_alloc(size_t len_bytes)
{
        return checked(calloc(1, len_bytes ? len_bytes : 1), len_bytes);
}

void *mem_resize(void *old, size_t len_bytes)
{
        return checked(realloc(old, len_bytes ? len_bytes : 1), len_bytes);
}

char *mem_strdup(const char *s)
{
        return checked(strdup(s), strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
        char *s = NULL;
        va_list ap;
        va_start(ap, fmt);
        int n = vasprintf(&s, fmt, ap);
        va_end(ap);
        return checked(n < 0 ? NULL : s, 0);
}
