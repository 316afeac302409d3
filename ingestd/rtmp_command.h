/* rtmp_command.h - the commands of RTMP (section 7.2): what a broadcaster's says, and what the server's replies look like.
 *
 * Pure: AMF0 in, a struct out; a reply goes to a struct writer as the payload of one command message. Texts that are cut
 * are only shown; of app, tc_url and name `cut` says so, since they decide. Encoders put much into commands that no server needs:
 * what cannot be read behind the transaction is as if it was not there, and `damaged` says so. */
#ifndef INGESTD_RTMP_COMMAND_H
#define INGESTD_RTMP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/bytes.h"

#define RTMP_WINDOW_BYTES 2500000 /* announced both ways; the usual value */
#define RTMP_REPLY_MAX 1024       /* no reply is longer */
#define RTMP_CAPS_RECONNECT 1     /* bit of capsEx: understands a reconnect request */

struct rtmp_command {
        char name[32];
        double transaction; /* 0: no answer is expected */
        /* connect */
        char app[2560], tc_url[2560], flash_ver[64];
        double object_encoding;
        unsigned caps_ex;
        bool enhanced; /* said anything of Enhanced RTMP */
        /* others: the first argument after the command object */
        char argument[2560]; /* a name with a token */
        double number; /* 0 unless it is one */
        bool cut, damaged;
};

/* 0; ERR_PROTO: it has no name; ERR_LIMIT: nested too deeply. */
int rtmp_command_decode(struct rtmp_command *out, const uint8_t *data, size_t len_bytes);

void rtmp_reply_connected(struct writer *w, const struct rtmp_command *connect);
void rtmp_reply_result(struct writer *w, double transaction);               /* _result null null */
void rtmp_reply_number(struct writer *w, double transaction, double number); /* _result null number */
void rtmp_reply_error(struct writer *w, double transaction, const char *code, const char *text); /* _error */
/* command is "onStatus" or "onFCPublish"; level "status" or "error". text is cut to what fits. */
void rtmp_reply_status(struct writer *w, const char *command, const char *level, const char *code, const char *text);

#endif
