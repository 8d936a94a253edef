"""A paste filter for the test server: Swift's S3 layer, plus S3's conditional PUT.

Runs in Swift's own interpreter, in the proxy of tests/s3_server.py, not in a test. As packaged,
Swift answers 501 to a PUT with If-None-Match or If-Match. Here the name of the bucket chooses:

    refused-*   501, as packaged
    ignored-*   the condition is dropped: a store that says yes to everybody
    others      the condition decides, under a lock on the key

The lock is a green semaphore, so the promise holds for one proxy process without workers.
"""

from collections import defaultdict
from functools import wraps

from eventlet.semaphore import Semaphore
from swift.common.middleware.s3api import s3api
from swift.common.middleware.s3api.controllers.obj import ObjectController
from swift.common.middleware.s3api.s3request import S3Request
from swift.common.middleware.s3api.s3response import NoSuchKey, PreconditionFailed

CONDITIONS = {"HTTP_IF_NONE_MATCH": "If-None-Match", "HTTP_IF_MATCH": "If-Match"}
key_locks = defaultdict(Semaphore)

validate_as_packaged = S3Request._validate_headers
check_md5_as_packaged = S3Request.check_md5


def take_conditions(request):
    return {name: request.environ.pop(name) for name in CONDITIONS if name in request.environ}


def validate_headers(request):
    """Hide the conditions from the check that refuses them; signatures are checked elsewhere."""
    refused = (request.container_name or "").startswith("refused-")
    hidden = {} if refused or request.method != "PUT" else take_conditions(request)
    validate_as_packaged(request)
    request.environ.update(hidden)


def check_md5(request, body):
    """Accept a bulk delete that carries a CRC, as current clients send, and not a Content-MD5."""
    if "HTTP_CONTENT_MD5" in request.environ:
        check_md5_as_packaged(request, body)


def check_conditions(controller, request):
    conditions = take_conditions(request)
    if not conditions or request.container_name.startswith("ignored-"):
        return
    try:
        etag = request.get_response(controller.app, "HEAD", query={}).etag
    except NoSuchKey:
        etag = None
    if "HTTP_IF_NONE_MATCH" in conditions and etag is not None:
        raise PreconditionFailed(condition="If-None-Match")
    if "HTTP_IF_MATCH" in conditions:
        if etag is None:
            raise NoSuchKey(request.object_name)
        if conditions["HTTP_IF_MATCH"].strip('"') != etag:
            raise PreconditionFailed(condition="If-Match")


def one_at_a_time(verb):
    as_packaged = getattr(ObjectController, verb)

    @wraps(as_packaged)
    def locked(controller, request):
        with key_locks[request.container_name, request.object_name]:
            if verb == "PUT":
                check_conditions(controller, request)
            return as_packaged(controller, request)

    setattr(ObjectController, verb, locked)


S3Request._validate_headers = validate_headers
S3Request.check_md5 = check_md5
one_at_a_time("PUT")
one_at_a_time("DELETE")
filter_factory = s3api.filter_factory
