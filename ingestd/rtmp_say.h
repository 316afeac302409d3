/* rtmp_say.h - what a session says to its encoder. It gathers in s->out, until it is flushed. */
#ifndef INGESTD_RTMP_SAY_H
#define INGESTD_RTMP_SAY_H

#include "ingestd/rtmp_command.h"
#include "ingestd/rtmp_state.h"

enum { CSID_CONTROL = 2, CSID_COMMAND = 3, CSID_STATUS = 5 };

/* A reply under construction; its payload is a command. */
struct rtmp_reply {
        uint8_t bytes[RTMP_REPLY_MAX];
        struct writer w;
};
void rtmp_say_message(struct rtmp_session *s, uint8_t csid, uint8_t type, uint32_t stream_id, const void *data, size_t len);
void rtmp_say_u32(struct rtmp_session *s, uint8_t type, uint32_t v);
struct writer *rtmp_say_begin(struct rtmp_reply *r);
void rtmp_say_reply(struct rtmp_session *s, struct rtmp_reply *r, uint8_t csid, uint32_t stream_id);
void rtmp_say_status(struct rtmp_session *s, const char *level, const char *code, const char *text);
void rtmp_say_result(struct rtmp_session *s, double transaction); /* 0: it wants none */
void rtmp_say_received(struct rtmp_session *s); /* how much, if that is due */
void rtmp_say_flush(struct rtmp_session *s);

/* Tells the encoder why, and closes once that has been sent: the state that follows. */
enum session_state rtmp_say_refusal(struct rtmp_session *s, enum rtmp_close_reason reason, const char *code, const char *text);

#endif
