/* rtmp_load --url=rtmp[s]://HOST:PORT/APP --publishers=N --kbps=R --seconds=T [--chunk=BYTES] [--name=PREFIX] - N broadcasters in one
 * process: each publishes PREFIX-0 … PREFIX-(N-1) with H.264 (30 pictures a second, a keyframe every 2 s) and AAC (48
 * kHz) shaped tags of R kbit/s together, in chunks of 4096 bytes or as many as said, paced by the clock, for T seconds. HOST is a numeric
 * IPv4 address. Each picture says when it was sent (load_stamp.h).
 *
 * It says everything without waiting for an answer, so that it can also talk to a process that only reads (rtmp_floor);
 * what comes back is thrown away. With rtmps: no certificate is verified. At the end, or on SIGTERM, one line of JSON: bytes sent,
 * broadcasters lost, how late the latest frame was, CPU used here. Exit status 1 when any was lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/mem.h"
#include "tests/tools/load_stamp.h"

#define FPS 30
#define GOP 60
#define AUDIO_SAMPLES 1024
#define AUDIO_RATE 48000
#define AUDIO_BYTES 170 /* 64 kbit/s */
#define KEY_WEIGHT 8    /* a keyframe is so many times as long as another picture */
#define DIAL_EVERY_US 1000 /* ingestd has places for 256 of one address that do not publish yet */
#define TLS_EVERY_US 20000 /* and takes a hundred handshakes a second of it */
#define OUT_MAX (1u << 20) /* unsent bytes of a broadcaster; beyond, its pictures wait */

enum { CSID_CONTROL = 2, CSID_COMMAND = 3, CSID_AUDIO = 4, CSID_VIDEO = 6 };
enum { TYPE_CHUNK_SIZE = 1, TYPE_AUDIO = 8, TYPE_VIDEO = 9, TYPE_DATA = 18, TYPE_COMMAND = 20 };

struct publisher {
        int fd;
        SSL *tls; /* NULL: plain */
        int64_t start_us; /* monotonic, of timestamp 0 */
        uint64_t video, audio;
        uint8_t *out;
        size_t out_len, out_cap;
        bool lost;
};

static struct {
        struct sockaddr_in address;
        char app[128], url[256];
        const char *prefix;
        size_t picture_bytes; /* of one that is no keyframe */
        size_t chunk_bytes;
        uint64_t sent_bytes, frames;
        int64_t latest_us;
        unsigned lost;
        int epoll;
        SSL_CTX *tls; /* NULL: plain */
        volatile sig_atomic_t stop;
} load;

static uint8_t payload[8u << 20];

static void on_signal(int signum)
{
        (void)signum;
        load.stop = 1;
}

/* ---- bytes out --------------------------------------------------------------------------------------------------- */

static void lose(struct publisher *p)
{
        if (!p->lost)
                load.lost++;
        p->lost = true;
        close(p->fd);
}

static void append(struct publisher *p, const void *data, size_t len)
{
        if (p->out_len + len > p->out_cap) {
                p->out_cap = 2 * (p->out_len + len);
                p->out = mem_resize(p->out, p->out_cap);
        }
        memcpy(p->out + p->out_len, data, len);
        p->out_len += len;
}

/* As send(). */
static ssize_t send_some(struct publisher *p, const void *data, size_t len)
{
        if (!p->tls)
                return send(p->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        int n = SSL_write(p->tls, data, (int)len);
        if (n <= 0)
                errno = SSL_get_error(p->tls, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
        return n > 0 ? n : -1;
}

static void flush(struct publisher *p)
{
        size_t done = 0;
        while (!p->lost && done < p->out_len) {
                ssize_t n = send_some(p, p->out + done, p->out_len - done);
                if (n > 0)
                        done += (size_t)n;
                else if (n < 0 && errno == EAGAIN)
                        break;
                else
                        lose(p);
        }
        load.sent_bytes += done;
        memmove(p->out, p->out + done, p->out_len - done);
        p->out_len -= done;
}

static void message(struct publisher *p, uint8_t csid, uint8_t type, uint32_t stream, uint32_t ts_ms,
                    const uint8_t *data, size_t len)
{
        uint8_t header[16];
        struct writer w;
        bool extended = ts_ms >= 0xffffff;
        writer_init(&w, header, sizeof(header));
        writer_u8(&w, csid);
        writer_u24(&w, extended ? 0xffffff : ts_ms);
        writer_u24(&w, (uint32_t)len);
        writer_u8(&w, type);
        writer_u32_le(&w, stream);
        if (extended)
                writer_u32(&w, ts_ms);
        append(p, header, w.len);
        for (size_t at = 0; at < len; at += load.chunk_bytes) {
                const uint8_t again = 0xc0 | csid;
                if (at)
                        append(p, &again, 1);
                append(p, data + at, len - at < load.chunk_bytes ? len - at : load.chunk_bytes);
        }
}

/* ---- saying hello ------------------------------------------------------------------------------------------------ */

static void amf_string(struct writer *w, const char *s)
{
        writer_u8(w, 2);
        writer_str(w, s);
}

static void amf_number(struct writer *w, double v)
{
        writer_u8(w, 0);
        writer_f64(w, v);
}

static void amf_property(struct writer *w, const char *key, const char *value)
{
        writer_str(w, key);
        amf_string(w, value);
}

static void amf_end(struct writer *w)
{
        writer_u24(w, 9);
}

static void command(struct publisher *p, uint32_t stream, const char *name, double transaction, const char *argument)
{
        uint8_t bytes[512];
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        amf_string(&w, name);
        amf_number(&w, transaction);
        writer_u8(&w, 5); /* null */
        if (argument)
                amf_string(&w, argument);
        if (stream)
                amf_string(&w, "live");
        message(p, CSID_COMMAND, TYPE_COMMAND, stream, 0, bytes, w.len);
}

static void say_connect(struct publisher *p)
{
        uint8_t bytes[1024];
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        amf_string(&w, "connect");
        amf_number(&w, 1);
        writer_u8(&w, 3); /* object */
        amf_property(&w, "app", load.app);
        amf_property(&w, "type", "nonprivate");
        amf_property(&w, "flashVer", "FMLE/3.0 (compatible; rtmp_load)");
        amf_property(&w, "tcUrl", load.url);
        amf_end(&w);
        message(p, CSID_COMMAND, TYPE_COMMAND, 0, 0, bytes, w.len);
}

static void say_metadata(struct publisher *p)
{
        uint8_t bytes[512];
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        amf_string(&w, "@setDataFrame");
        amf_string(&w, "onMetaData");
        writer_u8(&w, 8); /* ECMA array */
        writer_u32(&w, 3);
        writer_str(&w, "videocodecid");
        amf_number(&w, 7);
        writer_str(&w, "audiocodecid");
        amf_number(&w, 10);
        amf_property(&w, "encoder", "rtmp_load");
        amf_end(&w);
        message(p, CSID_COMMAND, TYPE_DATA, 1, 0, bytes, w.len);
}

static void say_configs(struct publisher *p)
{
        /* AVCDecoderConfigurationRecord: Baseline 3.0, one SPS and PPS */
        static const uint8_t avc[] = {0x17, 0, 0, 0, 0,
                                      1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 10, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80,
                                      0xf6, 0x80, 0x6d, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80};
        static const uint8_t aac[] = {0xaf, 0, 0x11, 0x90}; /* AAC-LC, 48 kHz, stereo */
        message(p, CSID_VIDEO, TYPE_VIDEO, 1, 0, avc, sizeof(avc));
        message(p, CSID_AUDIO, TYPE_AUDIO, 1, 0, aac, sizeof(aac));
}

static void say_hello(struct publisher *p, unsigned number)
{
        static uint8_t handshake[1 + 1536 + 1536];
        const uint8_t chunk_size[] = {0, 0, (uint8_t)(load.chunk_bytes >> 8), (uint8_t)load.chunk_bytes};
        char name[96];
        snprintf(name, sizeof(name), "%s-%u", load.prefix, number);
        handshake[0] = 3;
        append(p, handshake, sizeof(handshake));
        message(p, CSID_CONTROL, TYPE_CHUNK_SIZE, 0, 0, chunk_size, sizeof(chunk_size)); /* shorter than any chunk */
        say_connect(p);
        command(p, 0, "createStream", 2, NULL);
        command(p, 1, "publish", 3, name);
        say_metadata(p);
        say_configs(p);
}

/* ---- media ------------------------------------------------------------------------------------------------------- */

static int64_t video_us(uint64_t n)
{
        return (int64_t)(n * US_PER_S / FPS);
}

static int64_t audio_us(uint64_t n)
{
        return (int64_t)(n * AUDIO_SAMPLES * US_PER_S / AUDIO_RATE);
}

/* One NAL unit with its length before it fills the tag. */
static void send_picture(struct publisher *p)
{
        bool key = p->video % GOP == 0;
        size_t len = load.picture_bytes * (key ? KEY_WEIGHT : 1);
        struct writer w;
        writer_init(&w, payload, sizeof(payload));
        writer_u8(&w, key ? 0x17 : 0x27);
        writer_u8(&w, 1);
        writer_u24(&w, 0);
        writer_u32(&w, (uint32_t)len - 9);
        writer_u8(&w, key ? 0x65 : 0x41);
        writer_u64(&w, LOAD_STAMP);
        writer_u64(&w, (uint64_t)clock_mono_us());
        message(p, CSID_VIDEO, TYPE_VIDEO, 1, (uint32_t)(video_us(p->video) / 1000), payload, len);
        p->video++;
        load.frames++;
}

static void send_sound(struct publisher *p)
{
        payload[0] = 0xaf;
        payload[1] = 1;
        message(p, CSID_AUDIO, TYPE_AUDIO, 1, (uint32_t)(audio_us(p->audio) / 1000), payload, AUDIO_BYTES);
        p->audio++;
        load.frames++;
}

static int64_t due_us(const struct publisher *p)
{
        int64_t v = video_us(p->video), a = audio_us(p->audio);
        return p->start_us + (v < a ? v : a);
}

static void send_due(struct publisher *p, int64_t now_us)
{
        while (!p->lost && due_us(p) <= now_us && p->out_len < OUT_MAX) {
                if (now_us - due_us(p) > load.latest_us)
                        load.latest_us = now_us - due_us(p);
                if (video_us(p->video) <= audio_us(p->audio))
                        send_picture(p);
                else
                        send_sound(p);
                flush(p);
        }
        if (!p->lost && p->out_len)
                flush(p);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static bool dial(struct publisher *p, unsigned number)
{
        const int on = 1;
        p->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&load.address, sizeof(load.address))) {
                perror("rtmp_load: connect");
                return false;
        }
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (load.tls) {
                p->tls = SSL_new(load.tls);
                SSL_set_fd(p->tls, p->fd);
                if (SSL_connect(p->tls) != 1) {
                        fprintf(stderr, "rtmp_load: the TLS handshake failed\n");
                        return false;
                }
        }
        fcntl(p->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(load.epoll, EPOLL_CTL_ADD, p->fd, &ev);
        say_hello(p, number);
        return true;
}

static void read_away(struct publisher *p)
{
        char answer[4096];
        if (p->lost)
                return;
        if (p->tls) {
                int n;
                while ((n = SSL_read(p->tls, answer, sizeof(answer))) > 0)
                        ;
                if (SSL_get_error(p->tls, n) != SSL_ERROR_WANT_READ)
                        lose(p);
                return;
        }
        ssize_t n = recv(p->fd, answer, sizeof(answer), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
                lose(p);
}

/* Until the next frame of any is due. */
static void wait_until(int64_t mono_us)
{
        struct epoll_event ready[64];
        int64_t left_us = mono_us - clock_mono_us();
        struct timespec ts = {.tv_sec = left_us / US_PER_S, .tv_nsec = left_us % US_PER_S * 1000};
        if (left_us <= 0)
                ts = (struct timespec){0};
        int n = epoll_pwait2(load.epoll, ready, 64, &ts, NULL);
        for (int i = 0; i < n; i++)
                read_away(ready[i].data.ptr);
}

static void run(struct publisher *all, unsigned count, int64_t until_us)
{
        for (int64_t now; !load.stop && load.lost < count && (now = clock_mono_us()) < until_us;) {
                int64_t next = until_us;
                for (unsigned i = 0; i < count; i++) {
                        send_due(&all[i], now);
                        if (!all[i].lost && due_us(&all[i]) < next)
                                next = due_us(&all[i]);
                }
                wait_until(next > now + 1000 ? next : now + 1000);
        }
}

static void report(unsigned count, double seconds)
{
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                     (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
        printf("{\"publishers\": %u, \"lost\": %u, \"seconds\": %.1f, \"bytes\": %" PRIu64 ", \"frames\": %" PRIu64
               ", \"kbps_each\": %.0f, \"latest_ms\": %.1f, \"cpu_s\": %.3f}\n",
               count, load.lost, seconds, load.sent_bytes, load.frames,
               (double)load.sent_bytes * 8 / 1000 / seconds / count, (double)load.latest_us / 1000, cpu);
}

static bool parse_url(const char *url)
{
        char host[64];
        int port;
        snprintf(load.url, sizeof(load.url), "%s", url);
        bool tls = strncmp(url, "rtmps:", 6) == 0;
        if (sscanf(url, tls ? "rtmps://%63[0-9.]:%d/%127s" : "rtmp://%63[0-9.]:%d/%127s", host, &port, load.app) != 3)
                return false;
        if (tls) {
                load.tls = SSL_CTX_new(TLS_client_method());
                SSL_CTX_set_mode(load.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        }
        load.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        return inet_pton(AF_INET, host, &load.address.sin_addr) == 1;
}

int main(int argc, char **argv)
{
        unsigned publishers = 1, kbps = 1000, seconds = 10, chunk = 4096;
        bool url = false;
        load.prefix = "load";
        for (int i = 1; i < argc; i++) {
                if (strncmp(argv[i], "--url=", 6) == 0)
                        url = parse_url(argv[i] + 6);
                else if (strncmp(argv[i], "--name=", 7) == 0)
                        load.prefix = argv[i] + 7;
                else if (sscanf(argv[i], "--publishers=%u", &publishers) != 1 &&
                         sscanf(argv[i], "--kbps=%u", &kbps) != 1 && sscanf(argv[i], "--chunk=%u", &chunk) != 1 &&
                         sscanf(argv[i], "--seconds=%u", &seconds) != 1)
                        url = false, i = argc;
        }
        unsigned video_kbps = kbps > 80 ? kbps - 64 : 16;
        load.picture_bytes = (size_t)video_kbps * 1000 / 8 * GOP / FPS / (GOP - 1 + KEY_WEIGHT);
        load.chunk_bytes = chunk;
        if (!url || publishers == 0 || chunk < 16 || chunk > UINT16_MAX || load.picture_bytes * KEY_WEIGHT > sizeof(payload)) {
                fprintf(stderr, "usage: rtmp_load --url=rtmp[s]://HOST:PORT/APP --publishers=N --kbps=R --seconds=T "
                                "[--chunk=BYTES] [--name=PREFIX]\n");
                return 2;
        }
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
        signal(SIGPIPE, SIG_IGN);
        load.epoll = epoll_create1(0);
        memset(payload, 0x55, sizeof(payload));
        struct publisher *all = mem_alloc(publishers * sizeof(*all));
        for (unsigned i = 0; i < publishers; i++) {
                if (!dial(&all[i], i))
                        return 1;
                flush(&all[i]);
                usleep(load.tls ? TLS_EVERY_US : DIAL_EVERY_US);
        }
        int64_t begin = clock_mono_us();
        for (unsigned i = 0; i < publishers; i++) {
                /* spread over two seconds of pictures, so that neither frames nor keyframes of all fall together */
                all[i].start_us = begin + video_us(GOP) * i / publishers;
        }
        run(all, publishers, begin + seconds * US_PER_S);
        report(publishers, (double)(clock_mono_us() - begin) / 1e6);
        return load.lost > 0;
}
