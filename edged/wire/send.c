#include "edged/wire/send.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "edged/ledger.h"
#include "edged/pages.h"
#include "edged/wire/tcp.h"

#define PARTS 4
#define BYTES 2 /* of them */
#define ONE_SEND_MAX (1 << 20) /* the other connections of this thread wait meanwhile */

static size_t put(char *dst, size_t at, const char *text)
{
        size_t len = text ? strlen(text) : 0;
        assert(at + len <= OUTPUT_LINE_MAX);
        if (len)
                memcpy(dst + at, text, len);
        return at + len;
}

/* By hand: it is in every hit, and snprintf() takes as long as all the rest of the head. */
static size_t put_age(char *dst, size_t at, uint64_t age_s)
{
        char field[32] = "Age: ", digits[20];
        size_t n = 0, len = 5;
        do
                digits[n++] = (char)('0' + age_s % 10);
        while (age_s /= 10);
        while (n)
                field[len++] = digits[--n];
        memcpy(field + len, "\r\n", 3);
        return put(dst, at, field);
}

static void nothing(struct output *o)
{
        buf_unref(&o->piece);
        o->head = o->end = NULL;
        o->bytes = NULL;
        o->head_len = o->end_len = o->line_len = 0;
        o->bytes_len = o->sent = 0;
        o->file = NO_FILE;
}

static void set_bytes(struct output *o, const struct buf *in, const uint8_t *bytes, uint64_t len_bytes)
{
        o->bytes = bytes;
        o->bytes_len = len_bytes;
        if (len_bytes >= PAGES_LEAST && pages_find(ledger_inner(in), &o->file, &o->file_at))
                o->file_at += bytes - in->data;
}

void output_answer(struct output *o, struct answer *a, const struct output_how *how)
{
        assert(!o->answer);
        nothing(o);
        o->answer = answer_ref(a);
        o->chunked = a->grows && !a->sized && !how->http_1_0;
        o->head = a->head;
        o->head_len = a->head_len;
        size_t at = put(o->line, 0, how->date);
        at = put(o->line, at, how->extra);
        if (how->was_kept)
                at = put_age(o->line, at, how->age_s);
        if (how->closes)
                at = put(o->line, at, "Connection: close\r\n");
        else if (how->http_1_0)
                at = put(o->line, at, "Connection: Keep-Alive\r\n");
        if (o->chunked)
                at = put(o->line, at, "Transfer-Encoding: chunked\r\n");
        o->line_len = put(o->line, at, "\r\n");
        if (how->without_body || a->grows)
                return;
        set_bytes(o, a->body, a->bytes, a->len_bytes);
}

/* The first piece goes with the head, if that has not gone yet. */
void output_piece(struct output *o, struct buf *piece, size_t off, size_t len_bytes, bool last)
{
        char size[24];
        assert(o->answer && o->answer->grows && !o->bytes_len && len_bytes > 0 && off + len_bytes <= piece->len);
        o->piece = piece;
        set_bytes(o, piece, piece->data + off, len_bytes);
        if (!o->chunked)
                return;
        snprintf(size, sizeof(size), "%zx\r\n", len_bytes);
        o->line_len = put(o->line, o->line_len, size);
        o->end = last ? "\r\n0\r\n\r\n" : "\r\n";
        o->end_len = strlen(o->end);
}

void output_last(struct output *o)
{
        assert(o->answer && o->answer->grows && !o->bytes_len);
        if (o->chunked)
                o->line_len = put(o->line, o->line_len, "0\r\n\r\n");
}

/* What is left of the four to be sent by the next call, as a vector: if the bytes go from their file, what comes before them, or behind.
 * */
static int parts_left(const struct output *o, bool by_file, struct iovec left[PARTS])
{
        struct iovec all[PARTS] = {{(void *)(uintptr_t)o->head, o->head_len},
                                   {(void *)(uintptr_t)o->line, o->line_len},
                                   {(void *)(uintptr_t)o->bytes, (size_t)o->bytes_len},
                                   {(void *)(uintptr_t)o->end, o->end_len}};
        uint64_t skip = o->sent;
        size_t room = ONE_SEND_MAX;
        int count = 0;
        for (int i = 0; i < PARTS && room > 0; i++) {
                size_t gone = all[i].iov_len < skip ? all[i].iov_len : (size_t)skip, len = all[i].iov_len - gone;
                if (i == BYTES && len > 0 && by_file)
                        break;
                skip -= gone;
                len = len < room ? len : room;
                if (len > 0)
                        left[count++] = (struct iovec){(char *)all[i].iov_base + gone, len};
                room -= len;
        }
        return count;
}

/* How many bytes the kernel took of *wanted, or -1 with errno. */
static ssize_t send_parts(const struct output *o, int fd, size_t *wanted)
{
        struct iovec left[PARTS];
        struct msghdr m = {.msg_iov = left, .msg_iovlen = (size_t)parts_left(o, o->file != NO_FILE, left)};
        *wanted = 0;
        for (size_t i = 0; i < m.msg_iovlen; i++)
                *wanted += left[i].iov_len;
        bool file_is_next = o->file != NO_FILE && o->sent + *wanted == o->head_len + o->line_len;
        return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT | (file_is_next ? MSG_MORE : 0));
}

static ssize_t send_file(const struct output *o, int fd, size_t *wanted)
{
        uint64_t before = o->sent - o->head_len - o->line_len, left = o->bytes_len - before;
        off_t at = o->file_at + (off_t)before;
        *wanted = left < ONE_SEND_MAX ? (size_t)left : ONE_SEND_MAX;
        return sendfile(fd, o->file, &at, *wanted);
}

static uint64_t length_of(const struct output *o)
{
        return o->head_len + o->line_len + o->bytes_len + o->end_len;
}

static ssize_t send_record(const struct output *o, struct tls *tls, size_t *wanted)
{
        struct iovec left[PARTS];
        int count = parts_left(o, false, left);
        uint64_t all = 0;
        for (int i = 0; i < count; i++)
                all += left[i].iov_len;
        return tls_send(tls, left, count, o->sent + all == length_of(o), wanted);
}

/* sendfile() hands over 64 kB at a time and says that more follows, and so do we of what goes before a file, and of all records but the
 * last. Where a segment is as long as that (loopback: 64 kB) the kernel keeps it back then, and when it takes no more it waits for what
 * it keeps. */
static enum output_says full(const struct output *o, int fd, bool by_record)
{
        if (by_record || o->file != NO_FILE)
                tcp_push(fd);
        return OUTPUT_FULL;
}

enum output_says output_send(struct output *o, int fd, struct tls *tls)
{
        uint64_t to_bytes = o->head_len + o->line_len, to_end = to_bytes + o->bytes_len;
        bool by_record = tls && !tls_by_kernel(tls);
        while (o->sent < to_end + o->end_len) {
                size_t wanted;
                bool by_file = !by_record && o->file != NO_FILE && o->sent >= to_bytes && o->sent < to_end;
                ssize_t n = by_record ? send_record(o, tls, &wanted) : by_file ? send_file(o, fd, &wanted) : send_parts(o, fd, &wanted);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN || errno == ENOBUFS ? full(o, fd, by_record) : OUTPUT_BROKEN;
                if (n == 0)
                        return OUTPUT_BROKEN;
                o->sent += (uint64_t)n;
                if ((size_t)n < wanted && !by_file) /* the kernel has taken what it wants, and will say when it wants more; of a file it may */
                        return full(o, fd, by_record); /* take less for other reasons */
        }
        nothing(o);
        return OUTPUT_SENT;
}

void output_fini(struct output *o)
{
        nothing(o);
        answer_unref(&o->answer);
}

void date_field(char dst[DATE_FIELD_MAX], int64_t real_s)
{
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        struct tm t;
        time_t s = (time_t)real_s;
        gmtime_r(&s, &t);
        snprintf(dst, DATE_FIELD_MAX, "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n", days[t.tm_wday], (unsigned)t.tm_mday % 100,
                 months[t.tm_mon], ((unsigned)t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100,
                 (unsigned)t.tm_sec % 100);
}
