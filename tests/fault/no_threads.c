/* Preloaded into the daemons by test_no_threads.py: the program cannot begin threads of its own while the file that NO_THREADS names
 * holds a word of its command line. Its libraries can: the admin port still answers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_meant(void)
{
        char word[200] = "", line[8192];
        const char *control = getenv("NO_THREADS");
        FILE *f = control ? fopen(control, "r") : NULL;
        int any = f && fscanf(f, "%199s", word) == 1;
        if (f)
                fclose(f);
        f = any ? fopen("/proc/self/cmdline", "r") : NULL;
        size_t len = f ? fread(line, 1, sizeof(line), f) : 0;
        if (f)
                fclose(f);
        return len && memmem(line, len, word, strlen(word)) != NULL;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
        int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
                (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
        Dl_info whose;
        if (dladdr((void *)start, &whose) && whose.dli_fname && strstr(whose.dli_fname, "/transcoderd") && is_meant())
                return EAGAIN;
        return real(thread, attr, start, arg);
}
