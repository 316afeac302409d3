#include "ingestd/rtmp_command.h"

#include <stdio.h>

#include "common/err.h"
#include "ingestd/amf0.h"

#define FOURCC_CAN_TAKE 5 /* FourCcInfoMask: CanDecode 1, CanForward 4 */

static void take_connect_property(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        struct rtmp_command *c = arg;
        if (amf_value_is(key, "app")) {
                c->cut |= !amf_value_copy(c->app, sizeof(c->app), value);
        } else if (amf_value_is(key, "tcUrl")) {
                c->cut |= !amf_value_copy(c->tc_url, sizeof(c->tc_url), value);
        } else if (amf_value_is(key, "flashVer")) {
                amf_value_copy(c->flash_ver, sizeof(c->flash_ver), value);
        } else if (amf_value_is(key, "objectEncoding") && value->type == AMF_NUMBER) {
                c->object_encoding = value->number;
        } else if (amf_value_is(key, "capsEx") && value->type == AMF_NUMBER) {
                c->caps_ex = value->number >= 0 && value->number < 256 ? (unsigned)value->number : 0;
                c->enhanced = true;
        } else if (amf_value_is(key, "fourCcList") || amf_value_is(key, "videoFourCcInfoMap")) {
                c->enhanced = true;
        }
}

int rtmp_command_decode(struct rtmp_command *out, const uint8_t *data, size_t len_bytes)
{
        struct amf0 in;
        amf0_init(&in, data, len_bytes);
        *out = (struct rtmp_command){0};
        struct amf_value name = amf0_read(&in, NULL, NULL);
        struct amf_value transaction = amf0_read(&in, NULL, NULL);
        if (in.r.err || name.type != AMF_STRING)
                return in.r.err ? in.r.err : ERR_PROTO;
        amf_value_copy(out->name, sizeof(out->name), &name);
        out->transaction = transaction.type == AMF_NUMBER ? transaction.number : 0;

        bool connect = amf_value_is(&name, "connect");
        amf0_read(&in, connect ? take_connect_property : NULL, out);
        struct amf_value argument = amf0_read(&in, NULL, NULL);
        out->cut |= !amf_value_copy(out->argument, sizeof(out->argument), &argument);
        out->number = argument.type == AMF_NUMBER ? argument.number : 0;
        out->damaged = in.r.err == ERR_PROTO;
        return out->damaged ? 0 : in.r.err;
}

static void write_text(struct writer *w, const char *key, const char *text)
{
        char cut[320];
        snprintf(cut, sizeof(cut), "%s", text);
        amf0_write_key(w, key);
        amf0_write_string(w, cut);
}

static void write_number(struct writer *w, const char *key, double v)
{
        amf0_write_key(w, key);
        amf0_write_number(w, v);
}

static void write_info(struct writer *w, const char *level, const char *code, const char *text)
{
        write_text(w, "level", level);
        write_text(w, "code", code);
        write_text(w, "description", text);
}

/* Enhanced RTMP: what we take of each medium, by FourCC, and no extended capability of our own. */
static void write_enhanced(struct writer *w)
{
        amf0_write_key(w, "videoFourCcInfoMap");
        amf0_write_object(w);
        write_number(w, "avc1", FOURCC_CAN_TAKE);
        amf0_write_end(w);
        amf0_write_key(w, "audioFourCcInfoMap");
        amf0_write_object(w);
        write_number(w, "mp4a", FOURCC_CAN_TAKE);
        amf0_write_end(w);
        write_number(w, "capsEx", RTMP_CAPS_RECONNECT);
}

void rtmp_reply_connected(struct writer *w, const struct rtmp_command *connect)
{
        amf0_write_string(w, "_result");
        amf0_write_number(w, connect->transaction);
        amf0_write_object(w);
        write_text(w, "fmsVer", "FMS/3,5,7,7009"); /* encoders look for this shape */
        write_number(w, "capabilities", 31);
        if (connect->enhanced)
                write_enhanced(w);
        amf0_write_end(w);
        amf0_write_object(w);
        write_info(w, "status", "NetConnection.Connect.Success", "Connection succeeded.");
        write_number(w, "objectEncoding", connect->object_encoding);
        amf0_write_end(w);
}

void rtmp_reply_result(struct writer *w, double transaction)
{
        amf0_write_string(w, "_result");
        amf0_write_number(w, transaction);
        amf0_write_null(w);
        amf0_write_null(w);
}

void rtmp_reply_number(struct writer *w, double transaction, double number)
{
        amf0_write_string(w, "_result");
        amf0_write_number(w, transaction);
        amf0_write_null(w);
        amf0_write_number(w, number);
}

void rtmp_reply_error(struct writer *w, double transaction, const char *code, const char *text)
{
        amf0_write_string(w, "_error");
        amf0_write_number(w, transaction);
        amf0_write_null(w);
        amf0_write_object(w);
        write_info(w, "error", code, text);
        amf0_write_end(w);
}

void rtmp_reply_status(struct writer *w, const char *command, const char *level, const char *code, const char *text)
{
        amf0_write_string(w, command);
        amf0_write_number(w, 0);
        amf0_write_null(w);
        amf0_write_object(w);
        write_info(w, level, code, text);
        amf0_write_end(w);
}
