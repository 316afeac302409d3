/* What an HTTP client may ask for: whatever it sends, a key that is passed on is a plain name. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/access.h"
#include "edged/path.h"
#include "edged/steering.h"

static void check_headers(const char *text)
{
        struct access_token found[] = {access_bearer(text), access_cookie(text)};
        for (int i = 0; i < 2; i++)
                assert(!found[i].text || (found[i].text > text && found[i].text + found[i].len <= text + strlen(text)));
}

static void check_pathway(const char *target)
{
        static const struct steering_site sites[] = {{"fra", "fra.example.org", 0, true}, {"a", "[::1]:8443", 900, true}};
        size_t from = steering_from(target, sites, 2, 0);
        assert(from == STEERING_NOWHERE || from < 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        char *target = malloc(len + 1);
        struct path p;
        memcpy(target, data, len);
        target[len] = 0;
        path_parse(target, &p);
        assert(strlen(p.key) <= KEY_MAX);
        if (p.kind == PATH_BAD)
                assert(p.why);
        if (p.kind == PATH_OBJECT || p.kind == PATH_TAIL || p.kind == PATH_SITE) {
                assert(p.key_len == strlen(p.key) && p.key[0] == '/');
                assert(!strstr(p.key, "..") || !strstr(p.key, "/."));
                assert(!strpbrk(p.key, "?#%\\ \r\n") && !strstr(p.key, "//"));
        }
        if (p.token) { /* lies in the target, and nothing but the slash after it ends it */
                assert(p.token >= target && p.token + p.token_len <= target + strlen(target));
                assert(!memchr(p.token, '/', p.token_len));
                assert(!path_is_known(&p) || p.token_len < 65 || !strstr(p.key, p.token));
        }
        check_headers(target);
        check_pathway(target);
        if (p.kind == PATH_SITE)
                assert(p.file && !strchr(p.file, '/') && p.file[0] != '.');
        if (p.kind == PATH_OBJECT || p.kind == PATH_TAIL) { /* what is passed on is what is asked again */
                struct path again;
                path_parse(p.key, &again);
                assert(again.kind == PATH_OBJECT && strcmp(again.key, p.key) == 0);
                assert(key_is_public(p.object.kind) && memcmp(&again.object, &p.object, sizeof(p.object)) == 0);
        }
        free(target);
        return 0;
}
