#include "common/daemon/log_site.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all sites */
static struct log_site *sites; /* those that ever left something out */

/* "127.0.0.1" of "127.0.0.1:4711", "[::1]" of "[::1]:4711": the next connection of a peer has another port. */
static size_t without_port(const char *peer)
{
        size_t len = strlen(peer), at = len;
        while (at > 0 && isdigit((unsigned char)peer[at - 1]))
                at--;
        if (at < 2 || at == len || peer[at - 1] != ':')
                return len;
        bool bare_ipv6 = peer[0] != '[' && memchr(peer, ':', at - 1) != NULL;
        return bare_ipv6 ? len : at - 1;
}

/* Its own counts, made if there is room for one more; the last ones are of all others. */
static struct log_peer *peer_of(struct log_peer *peers, const char *peer)
{
        char name[LOG_PEER_NAME];
        int i;
        snprintf(name, sizeof(name), "%.*s", (int)without_port(peer), peer);
        for (i = 0; i < LOG_PEERS - 1 && *peers[i].name; i++) {
                if (strcmp(peers[i].name, name) == 0)
                        return &peers[i];
        }
        strcpy(peers[i].name, i < LOG_PEERS - 1 ? name : "others");
        return &peers[i];
}

static void tell(const struct log_site *site, struct log_more *more)
{
        *more = (struct log_more){.place = site->place, .fmt = site->fmt, .level = site->level, .count = site->left_out};
        for (int i = 0; site->peers && i < LOG_PEERS; i++) {
                if (site->peers[i].left_out <= more->of_peer)
                        continue;
                more->of_peer = site->peers[i].left_out;
                memcpy(more->peer, site->peers[i].name, sizeof(more->peer));
        }
}

static void begin_window(struct log_site *site, int64_t now_us)
{
        site->since_us = now_us;
        site->lines = site->left_out = 0;
        if (site->peers)
                memset(site->peers, 0, LOG_PEERS * sizeof(*site->peers));
}

static bool count(unsigned *lines, unsigned *left_out, unsigned most)
{
        if (*lines < most) {
                ++*lines;
                return true;
        }
        ++*left_out;
        return false;
}

bool log_site_take(struct log_site *site, const char *peer, enum log_level level, const char *fmt, int64_t now_us,
                   struct log_more *more)
{
        bool may = true;
        more->count = 0;
        pthread_mutex_lock(&lock);
        site->fmt = fmt;
        site->level = level;
        if (site->lines == 0 || now_us - site->since_us >= LOG_WINDOW_US) {
                if (site->left_out)
                        tell(site, more);
                begin_window(site, now_us);
        }
        if (site->peers) {
                struct log_peer *p = peer_of(site->peers, peer ? peer : "");
                may = count(&p->lines, &p->left_out, LOG_PEER_LINES);
        }
        may = count(&site->lines, &site->left_out, !may ? 0 : level == LOG_DEBUG ? LOG_SITE_DEBUG_LINES : LOG_SITE_LINES);
        if (!may && !site->listed) {
                site->listed = true;
                site->next = sites;
                sites = site;
        }
        pthread_mutex_unlock(&lock);
        return may;
}

bool log_site_due(int64_t now_us, struct log_more *more)
{
        struct log_site *site;
        pthread_mutex_lock(&lock);
        for (site = sites; site && !(site->left_out && now_us - site->since_us >= LOG_WINDOW_US); site = site->next)
                ;
        if (site) {
                tell(site, more);
                begin_window(site, now_us);
        }
        pthread_mutex_unlock(&lock);
        return site != NULL;
}
