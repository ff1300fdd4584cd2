/* Write the same bytes to many sockets: the one loop of the service that runs
 * once for each reader and delta. What it may assume, and what it answers, is
 * said in service/hub/sending.py, whose loop in Python does the same. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

typedef struct {
    Py_ssize_t seat, sent;
} Left;

static Py_ssize_t send_all(const int *fds, Py_ssize_t start, Py_ssize_t stop, const Py_buffer *data, Left *left) {
    Py_ssize_t count = 0;
    for (Py_ssize_t seat = start; seat < stop; seat++) {
        ssize_t sent = -1;
        if (fds[seat] >= 0)
            do
                sent = send(fds[seat], data->buf, data->len, MSG_DONTWAIT | MSG_NOSIGNAL);
            while (sent < 0 && errno == EINTR);
        if (sent < data->len) /* full, broken or no socket: its transport will find out which */
            left[count++] = (Left){seat, sent < 0 ? 0 : sent};
    }
    return count;
}

static PyObject *told(const Left *left, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *pair = Py_BuildValue("(nn)", left[i].seat, left[i].sent);
        if (pair == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, pair);
    }
    return list;
}

static PyObject *send_row(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer fds, data;
    Py_ssize_t start, stop, count;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*nny*", &fds, &start, &stop, &data))
        return NULL;
    if (start < 0 || stop < start || stop > fds.len / (Py_ssize_t)sizeof(int)) {
        PyErr_SetString(PyExc_IndexError, "no such seats");
        goto done;
    }
    Left *left = PyMem_Malloc((size_t)(stop - start + 1) * sizeof(Left));
    if (left == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    count = send_all(fds.buf, start, stop, &data, left);
    Py_END_ALLOW_THREADS
    answer = told(left, count);
    PyMem_Free(left);
done:
    PyBuffer_Release(&fds);
    PyBuffer_Release(&data);
    return answer;
}

static PyMethodDef methods[] = {
    {"send_row", send_row, METH_VARARGS, "See service.hub.sending.send_row."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_send_row", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__send_row(void) {
    return PyModule_Create(&module);
}
