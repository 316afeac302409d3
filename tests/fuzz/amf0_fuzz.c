/* AMF0 values until the input or the reader ends, then the same bytes as a command. */
#include <assert.h>
#include <string.h>

#include "common/err.h"
#include "ingestd/amf0.h"
#include "ingestd/rtmp_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void property(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        char dst[16];
        unsigned *n = arg;
        assert(key->type == AMF_STRING && value->type != AMF_NOTHING);
        amf_value_copy(dst, sizeof(dst), key);
        amf_value_copy(dst, sizeof(dst), value);
        ++*n;
}

static void read_values(const uint8_t *data, size_t size)
{
        struct amf0 in;
        unsigned n = 0;
        amf0_init(&in, data, size);
        while (amf0_read(&in, property, &n).type != AMF_NOTHING)
                ;
        assert(in.r.err == 0 || in.r.err == ERR_PROTO || in.r.err == ERR_LIMIT);
        assert(n <= size); /* an object of AMF3 whose members were named before has a byte for each */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct rtmp_command c;
        uint8_t reply[RTMP_REPLY_MAX];
        struct writer w;
        read_values(data, size);
        if (rtmp_command_decode(&c, data, size))
                return 0;
        writer_init(&w, reply, sizeof(reply));
        rtmp_reply_connected(&w, &c);
        assert(writer_ok(&w));
        writer_init(&w, reply, sizeof(reply));
        rtmp_reply_status(&w, "onStatus", "error", c.argument, c.app);
        assert(writer_ok(&w));
        return 0;
}
