/* cors_said.h - whether the head of an answer lets a page of another site have it: the same for edges and origins. Include after
 * cmocka.h. */
#ifndef TESTS_UNIT_CORS_SAID_H
#define TESTS_UNIT_CORS_SAID_H

#include <stdio.h>
#include <string.h>

/* The header `name` (with its colon) has `word` among the words of its list. */
static inline int list_has(const char *head, const char *name, const char *word)
{
        const char *line = strcasestr(head, name), *end = line ? strpbrk(line, "\r\n") : NULL;
        size_t len = strlen(word);
        for (const char *p = line ? line + strlen(name) : NULL; p && p < end; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
                p += strspn(p, " ");
                if (p < end && strncasecmp(p, word, len) == 0 && strchr(", \r\n", p[len]))
                        return 1;
        }
        return 0;
}

static inline void assert_listed(const char *head, const char *name, const char *const words[], size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (!list_has(head, name, words[i]))
                        fail_msg("%s does not have %s: %s", name, words[i], head);
        }
}

static inline void assert_readable(const char *head)
{
        static const char *const exposed[] = {"Content-Length", "Content-Range", "Date", "ETag", "Accept-Ranges", "Age", "Retry-After",
                                              "CMSD-Dynamic", "CMSD-Static", "WWW-Authenticate"};
        assert_int_equal(list_has(head, "Access-Control-Allow-Origin:", "*"), 1);
        assert_listed(head, "Access-Control-Expose-Headers:", exposed, sizeof(exposed) / sizeof(exposed[0]));
        assert_int_equal(list_has(head, "Timing-Allow-Origin:", "*"), 1);
}

static inline void assert_preflight(const char *head)
{
        static const char *const taken[] = {"CMCD-Object", "CMCD-Request", "CMCD-Session", "CMCD-Status", "Range", "If-Match", "If-None-Match",
                                            "If-Range", "Authorization", "*"};
        static const char *const methods[] = {"GET", "HEAD", "OPTIONS"};
        assert_readable(head);
        assert_listed(head, "Access-Control-Allow-Headers:", taken, sizeof(taken) / sizeof(taken[0]));
        assert_listed(head, "Access-Control-Allow-Methods:", methods, 3);
        assert_int_equal(list_has(head, "Access-Control-Max-Age:", "86400"), 1);
}

#endif
