/* said.h - what the log says while a test does something. */
#ifndef TESTS_SAID_H
#define TESTS_SAID_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
        FILE *file;
        int old;
        char text[16384];
} said;

static inline void listen_to_log(void)
{
        said.file = tmpfile();
        said.old = dup(STDERR_FILENO);
        dup2(fileno(said.file), STDERR_FILENO);
}

static inline const char *end_listening(void)
{
        dup2(said.old, STDERR_FILENO);
        close(said.old);
        rewind(said.file);
        said.text[fread(said.text, 1, sizeof(said.text) - 1, said.file)] = '\0';
        fclose(said.file);
        return said.text;
}

static inline unsigned times_said(const char *what)
{
        unsigned n = 0;
        for (const char *at = said.text; (at = strstr(at, what)); at++)
                n++;
        return n;
}

#endif
