#include "edged/steering.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#define ROOM_AT_HOME_PERMILLE 100 /* below full: who was sent away comes back, and does not go again with the next breath */
#define HOME_SHARE 4              /* one of so many comes back each time they ask */

/* ---- where a player is ---------------------------------------------------------------------------------------- */

/* The value behind the last `name=` of a query. NULL: there is none. */
static const char *query_value(const char *target, const char *name, size_t *len)
{
        size_t name_len = strlen(name);
        const char *found = NULL, *p = strchr(target, '?');
        for (; p; p = strchr(p, '&')) {
                p++;
                if (strncmp(p, name, name_len) == 0 && p[name_len] == '=')
                        found = p + name_len + 1;
        }
        *len = found ? strcspn(found, "&#") : 0;
        return found;
}

bool steering_is_hls(const char *target)
{
        size_t len;
        return query_value(target, "_HLS_pathway", &len) != NULL;
}

static bool is_of_name(char c)
{
        return isalnum((unsigned char)c) || c == '-' || c == '_';
}

size_t steering_from(const char *target, const struct steering_site *sites, size_t count, size_t own)
{
        size_t len;
        const char *value = query_value(target, "_DASH_pathway", &len);
        if (!value)
                value = query_value(target, "_HLS_pathway", &len);
        if (!value)
                return STEERING_NOWHERE;
        /* "a,b", as it is or percent-encoded: the last name is what stands before the closing quote. */
        if (len >= 3 && strncmp(value + len - 3, "%22", 3) == 0)
                len -= 3;
        else if (len && value[len - 1] == '"')
                len--;
        size_t begin = len;
        while (begin && is_of_name(value[begin - 1]))
                begin--;
        if (begin && value[begin - 1] == '%') /* %22 or %2C: two digits belong to it */
                begin += len - begin >= 2 ? 2 : 0;
        const char *name = value + begin;
        size_t name_len = len - begin;
        if (name_len == strlen(STEERING_BASE) && strncmp(name, STEERING_BASE, name_len) == 0)
                return own;
        for (size_t i = 0; i < count; i++)
                if (strlen(sites[i].name) == name_len && strncmp(sites[i].name, name, name_len) == 0)
                        return i;
        return STEERING_NOWHERE;
}

/* ---- where it goes -------------------------------------------------------------------------------------------- */

static unsigned room(const struct steering_site *s, unsigned full_permille)
{
        return s->there && s->load_permille < full_permille ? full_permille - s->load_permille : 0;
}

/* By how much room there is. No room anywhere: `otherwise`. */
static size_t draw(const struct steering_site *sites, size_t count, unsigned full_permille, size_t otherwise, uint64_t chance)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++)
                sum += room(&sites[i], full_permille);
        if (!sum)
                return otherwise;
        uint64_t at = chance % sum;
        size_t i = 0;
        while (at >= room(&sites[i], full_permille))
                at -= room(&sites[i++], full_permille);
        return i;
}

static size_t least_loaded(const struct steering_site *sites, size_t count, size_t own)
{
        size_t best = own;
        for (size_t i = 0; i < count; i++)
                if (sites[i].there && sites[i].load_permille < sites[best].load_permille)
                        best = i;
        return best;
}

size_t steering_choose(const struct steering_site *sites, size_t count, size_t own, size_t from, unsigned full_permille, uint64_t chance)
{
        bool comes_anew = from == STEERING_NOWHERE;
        size_t at = comes_anew ? own : from;
        uint64_t other_chance = chance >> 20; /* one draw says whether, another where */
        chance &= (1 << 20) - 1;
        if (!sites[at].there)
                return draw(sites, count, full_permille, least_loaded(sites, count, own), other_chance);
        if (sites[at].load_permille >= full_permille) {
                /* Those beyond the limit and one of a hundred more, so that it gets below it. */
                unsigned load = sites[at].load_permille, away = load - full_permille + load / 100 + 1;
                bool goes = comes_anew || chance % load < away;
                return goes ? draw(sites, count, full_permille, at, other_chance) : at;
        }
        bool home_has_room = room(&sites[own], full_permille) > ROOM_AT_HOME_PERMILLE;
        return at != own && home_has_room && chance % HOME_SHARE == 0 ? own : at;
}

/* ---- how it is told ------------------------------------------------------------------------------------------- */

static bool is_before(const struct steering_site *a, const struct steering_site *b)
{
        return a->there != b->there ? a->there : a->load_permille < b->load_permille;
}

static json_t *priority(const struct steering_site *sites, size_t count, size_t chosen)
{
        size_t order[STEERING_SITES_MAX], n = 0;
        for (size_t i = 0; i < count; i++) {
                size_t k = n++;
                for (; k && (i == chosen || (order[k - 1] != chosen && is_before(&sites[i], &sites[order[k - 1]]))); k--)
                        order[k] = order[k - 1];
                order[k] = i;
        }
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, json_string(sites[order[i]].name));
        json_array_append_new(list, json_string(STEERING_BASE));
        return list;
}

static int len_without_port(const char *host)
{
        const char *colon = strrchr(host, ':');
        bool has_port = colon && !strchr(colon, ']'); /* the colons of an IPv6 address stand within brackets */
        return (int)(has_port ? (size_t)(colon - host) : strlen(host));
}

char *steering_text(const struct steering_site *sites, size_t count, size_t chosen, bool is_hls, int64_t ttl_s)
{
        json_t *clones = json_array();
        for (size_t i = 0; i < count; i++) {
                const char *host = sites[i].host;
                int len = is_hls ? len_without_port(host) : (int)strlen(host);
                json_array_append_new(clones, json_pack("{s:s, s:s, s:{s:s#}}", "BASE-ID", STEERING_BASE, "ID", sites[i].name,
                                                        "URI-REPLACEMENT", "HOST", host, len));
        }
        json_t *all = json_pack("{s:i, s:I, s:o, s:o}", "VERSION", 1, "TTL", (json_int_t)ttl_s, "PATHWAY-PRIORITY",
                                priority(sites, count, chosen), "PATHWAY-CLONES", clones);
        char *text = json_dumps(all, JSON_COMPACT);
        json_decref(all);
        return text;
}
