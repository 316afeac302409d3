#include "common/daemon/admin_answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum MHD_Result admin_answer_bytes(struct MHD_Connection *conn, unsigned status, const char *type, char *data, size_t len,
                              const char *header, const char *value)
{
        struct MHD_Response *response = MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
        if (!response) {
                free(data);
                return MHD_NO;
        }
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        if (header)
                MHD_add_response_header(response, header, value);
        enum MHD_Result result = MHD_queue_response(conn, status, response);
        MHD_destroy_response(response);
        return result;
}

enum MHD_Result admin_answer_text(struct MHD_Connection *conn, unsigned status, const char *text)
{
        char *line = mem_printf("%s\n", text);
        return admin_answer_bytes(conn, status, "text/plain; charset=utf-8", line, strlen(line), NULL, NULL);
}

enum MHD_Result admin_answer_json(struct MHD_Connection *conn, unsigned status, json_t *json, const char *header,
                                   const char *value)
{
        char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(13));
        char *line = mem_printf("%s\n", text ? text : "{}");
        json_decref(json);
        free(text);
        return admin_answer_bytes(conn, status, "application/json", line, strlen(line), header, value);
}

enum MHD_Result admin_answer_error(struct MHD_Connection *conn, unsigned status, const char *why)
{
        return admin_answer_json(conn, status, json_pack("{s:s}", "error", why), NULL, NULL);
}
