from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def whoami(request):
    """The caller as Django sees it, and what the server before it sent."""
    return JsonResponse(
        {
            "username": request.user.username,
            "id": request.user.pk,
            "is_superuser": request.user.is_superuser,
            "secure": request.is_secure(),
            "method": request.method,
            "body": request.body.decode(),
            "meta": {key: value for key, value in request.META.items() if key.startswith("HTTP_")},
        }
    )
