#include "common/daemon/fatal.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/daemon/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

void __assert_fail(const char *expression, const char *file, unsigned line, const char *function)
{
        char quoted[512], text[400];
        snprintf(text, sizeof(text), "Assertion `%s' failed", expression);
        log_fatal("at=%s:%u function=%s msg=%s", file, line, function, log_quote(quoted, sizeof(quoted), text));
        abort();
}

#ifdef SANITIZED
void fatal_watch(void)
{
}
#else
static const struct {
        int number;
        const char *text;
} signals[] = {
        {SIGABRT, "ended by abort()"},
        {SIGSEGV, "ended by SIGSEGV: a fault of the program"},
        {SIGBUS, "ended by SIGBUS: a fault of the program, or of the disk that a file lies on"},
        {SIGFPE, "ended by SIGFPE: a fault of the program"},
        {SIGILL, "ended by SIGILL: a fault of the program, or a processor it was not built for"},
};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Nothing that waits for a lock may be called here: whoever holds it may be the one that was hit. */
static void on_signal(int number)
{
        for (size_t i = 0; i < SIGNALS; i++) {
                if (signals[i].number == number)
                        log_last(signals[i].text);
        }
        raise(number); /* SA_RESETHAND: as if there had been no handler */
}

void fatal_watch(void)
{
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_NODEFER};
        sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < SIGNALS; i++)
                sigaction(signals[i].number, &action, NULL);
}
#endif
