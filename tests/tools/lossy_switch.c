/* lossy_switch - an Ethernet switch in user space that loses, delays, slows and cuts, for kernels without netem.
 *
 *   lossy_switch SEED NAME...      makes a TAP device of each name (port 0, 1, …) and says "ready"; needs CAP_NET_ADMIN
 *
 * The devices may be moved into network namespaces; the switch goes on to serve them. Commands, a line each on standard
 * input, are answered with "ok" when they hold; * stands for every port:
 *   cut A B         nothing passes between A and B, in both directions
 *   heal A B        it does again, without loss or delay
 *   loss A B PPM    of the frames between A and B, drawn by SEED: the same seed and traffic lose the same
 *   delay A B MS
 *   path A B MS PPM KBIT   all of it: delay, loss and a link of so many kbit/s (0: any), with room for QUEUE_US before it
 *   count           answers "count PASSED LOST" instead
 * Ends at the end of its input; the devices go with it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define PORTS_MAX 32
#define FRAME_MAX 2048
#define MAC_LEN 6
#define MACS_MAX 64
#define DELAYED_MAX 16384
#define QUEUE_US (250 * US_PER_MS)
#define PPM 1000000u

struct rule {
        bool cut;
        uint32_t loss_ppm, kbit_s;
        int64_t delay_us;
};

/* A frame on its way; in a list for each direction between two ports, in the order of arrival, all bounded by DELAYED_MAX. */
struct delayed {
        struct delayed *next;
        int64_t due_us;
        size_t len_bytes;
        uint8_t bytes[];
};

struct way {
        struct delayed *first, **last;
        int64_t free_us; /* of a link with a rate: when what was sent before is through */
};

struct lossy_switch {
        int fds[PORTS_MAX], n_ports;
        struct rule rules[PORTS_MAX][PORTS_MAX];
        struct way ways[PORTS_MAX][PORTS_MAX];
        struct {
                uint8_t mac[MAC_LEN];
                int port;
        } macs[MACS_MAX];
        int n_macs;
        uint64_t random, passed, lost;
        int n_delayed;
};

static uint32_t next_random(struct lossy_switch *s) /* xorshift64* */
{
        s->random ^= s->random >> 12;
        s->random ^= s->random << 25;
        s->random ^= s->random >> 27;
        return (uint32_t)(s->random * 2685821657736338717ull >> 32);
}

/* ---- ports and addresses */

static int open_tap(const char *name)
{
        struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
        if (strlen(name) >= sizeof(request.ifr_name))
                return -1;
        stpcpy(request.ifr_name, name);
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
                return fd;
        if (fd >= 0)
                close(fd);
        return -1;
}

static int port_of(const struct lossy_switch *s, const uint8_t *mac)
{
        for (int i = 0; i < s->n_macs; i++) {
                if (memcmp(s->macs[i].mac, mac, MAC_LEN) == 0)
                        return s->macs[i].port;
        }
        return -1;
}

static void learn(struct lossy_switch *s, const uint8_t *mac, int port)
{
        if (port_of(s, mac) >= 0 || s->n_macs == MACS_MAX)
                return;
        for (int i = 0; i < MAC_LEN; i++)
                s->macs[s->n_macs].mac[i] = mac[i];
        s->macs[s->n_macs++].port = port;
}

/* ---- frames */

static void transmit(struct lossy_switch *s, int to, const uint8_t *frame, size_t len)
{
        if (write(s->fds[to], frame, len) == (ssize_t)len)
                s->passed++;
        else
                s->lost++; /* the device is down or its queue full */
}

static void hold(struct lossy_switch *s, struct way *way, const uint8_t *frame, size_t len, int64_t due_us)
{
        if (s->n_delayed == DELAYED_MAX) {
                s->lost++;
                return;
        }
        struct delayed *d = mem_alloc(sizeof(*d) + len);
        *d = (struct delayed){.due_us = due_us, .len_bytes = len};
        for (size_t i = 0; i < len; i++)
                d->bytes[i] = frame[i];
        if (!way->first)
                way->last = &way->first;
        *way->last = d;
        way->last = &d->next;
        s->n_delayed++;
}

/* When the link before the delay has sent the frame; -1: there is no room for it. */
static int64_t sent_us(struct way *way, const struct rule *rule, size_t len)
{
        int64_t now_us = clock_mono_us();
        if (!rule->kbit_s)
                return now_us;
        if (way->free_us > now_us + QUEUE_US)
                return -1;
        way->free_us = (way->free_us > now_us ? way->free_us : now_us) + (int64_t)len * 8000 / rule->kbit_s;
        return way->free_us;
}

static void forward(struct lossy_switch *s, int from, int to, const uint8_t *frame, size_t len)
{
        const struct rule *rule = &s->rules[from][to];
        struct way *way = &s->ways[from][to];
        if (rule->cut || (rule->loss_ppm && next_random(s) % PPM < rule->loss_ppm)) {
                s->lost++;
                return;
        }
        if (!rule->delay_us && !rule->kbit_s) {
                transmit(s, to, frame, len);
                return;
        }
        int64_t at_us = sent_us(way, rule, len);
        if (at_us < 0)
                s->lost++;
        else
                hold(s, way, frame, len, at_us + rule->delay_us);
}

static void take_frames(struct lossy_switch *s, int from)
{
        uint8_t frame[FRAME_MAX];
        ssize_t len;
        while ((len = read(s->fds[from], frame, sizeof(frame))) >= 2 * MAC_LEN) {
                learn(s, frame + MAC_LEN, from);
                int known = port_of(s, frame);
                for (int to = 0; to < s->n_ports; to++) {
                        if (to != from && (known == to || known < 0))
                                forward(s, from, to, frame, (size_t)len);
                }
        }
}

static void release_way(struct lossy_switch *s, struct way *way, int to, int64_t now_us)
{
        while (way->first && way->first->due_us <= now_us) {
                struct delayed *d = way->first;
                way->first = d->next;
                s->n_delayed--;
                transmit(s, to, d->bytes, d->len_bytes);
                free(d);
        }
}

/* Sends what is due; returns the ms until the next, or -1. */
static int release(struct lossy_switch *s)
{
        int64_t now_us = clock_mono_us(), next_us = INT64_MAX;
        for (int from = 0; from < s->n_ports && s->n_delayed; from++) {
                for (int to = 0; to < s->n_ports; to++) {
                        struct way *way = &s->ways[from][to];
                        release_way(s, way, to, now_us);
                        if (way->first && way->first->due_us < next_us)
                                next_us = way->first->due_us;
                }
        }
        return next_us == INT64_MAX ? -1 : (int)((next_us - now_us) / US_PER_MS) + 1;
}

/* ---- commands */

static bool parse_port(const struct lossy_switch *s, const char *word, int *first, int *last)
{
        char *end;
        long port = strtol(word, &end, 10);
        if (strcmp(word, "*") == 0) {
                *first = 0;
                *last = s->n_ports - 1;
                return true;
        }
        *first = *last = (int)port;
        return !*end && port >= 0 && port < s->n_ports;
}

static void set_rules(struct lossy_switch *s, const int a[2], const int b[2], struct rule rule)
{
        for (int i = a[0]; i <= a[1]; i++) {
                for (int j = b[0]; j <= b[1]; j++)
                        s->rules[i][j] = s->rules[j][i] = rule;
        }
}

static bool obey(struct lossy_switch *s, const char *line)
{
        char what[16], one[16], other[16];
        unsigned value = 0, ppm = 0, kbit_s = 0;
        int n = sscanf(line, "%15s %15s %15s %u %u %u", what, one, other, &value, &ppm, &kbit_s), a[2], b[2];
        if (n == 1 && strcmp(what, "count") == 0) {
                printf("count %llu %llu\n", (unsigned long long)s->passed, (unsigned long long)s->lost);
                return true;
        }
        if (n < 3 || !parse_port(s, one, &a[0], &a[1]) || !parse_port(s, other, &b[0], &b[1]))
                return false;
        if (strcmp(what, "cut") == 0)
                set_rules(s, a, b, (struct rule){.cut = true});
        else if (strcmp(what, "heal") == 0)
                set_rules(s, a, b, (struct rule){0});
        else if (strcmp(what, "loss") == 0 && n == 4)
                set_rules(s, a, b, (struct rule){.loss_ppm = value});
        else if (strcmp(what, "delay") == 0 && n == 4)
                set_rules(s, a, b, (struct rule){.delay_us = (int64_t)value * US_PER_MS});
        else if (strcmp(what, "path") == 0 && n == 6)
                set_rules(s, a, b, (struct rule){.delay_us = (int64_t)value * US_PER_MS, .loss_ppm = ppm, .kbit_s = kbit_s});
        else
                return false;
        printf("ok\n");
        return true;
}

static void serve(struct lossy_switch *s)
{
        struct pollfd polled[PORTS_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        for (int i = 0; i < s->n_ports; i++)
                polled[i + 1] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
        for (;;) {
                if (poll(polled, (nfds_t)s->n_ports + 1, release(s)) < 0 && errno != EINTR)
                        return;
                for (int i = 0; i < s->n_ports; i++) {
                        if (polled[i + 1].revents)
                                take_frames(s, i);
                }
                char line[100];
                if (polled[0].revents && (!fgets(line, sizeof(line), stdin) || (!obey(s, line) && printf("what?\n") < 0)))
                        return;
                fflush(stdout);
        }
}

int main(int argc, char **argv)
{
        if (argc < 3 || argc - 2 > PORTS_MAX) {
                fprintf(stderr, "usage: lossy_switch SEED NAME...   at most %d names; commands are in the source\n", PORTS_MAX);
                return 2;
        }
        struct lossy_switch *s = mem_alloc(sizeof(*s));
        s->random = strtoull(argv[1], NULL, 10) * 2 + 1;
        setvbuf(stdin, NULL, _IONBF, 0);
        for (; s->n_ports < argc - 2; s->n_ports++) {
                s->fds[s->n_ports] = open_tap(argv[2 + s->n_ports]);
                if (s->fds[s->n_ports] < 0) {
                        fprintf(stderr, "lossy_switch: %s: %s\n", argv[2 + s->n_ports], strerror(errno));
                        return 1;
                }
        }
        printf("ready\n");
        fflush(stdout);
        serve(s);
        free(s);
        return 0;
}
