from django.conf import settings
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt import views

from .acts import act


class Whoami(APIView):
    def get(self, request):
        return Response({"user_id": request.user.pk, "username": request.user.get_username()})


if settings.PROFILE == "S":
    obtain, refresh = views.TokenObtainSlidingView, views.TokenRefreshSlidingView
else:
    obtain, refresh = views.TokenObtainPairView, views.TokenRefreshView

urlpatterns = [
    path("api/token/", obtain.as_view()),
    path("api/token/refresh/", refresh.as_view()),
    path("api/token/verify/", views.TokenVerifyView.as_view()),
    path("api/token/blacklist/", views.TokenBlacklistView.as_view()),
    path("api/whoami/", Whoami.as_view()),
    path("acts/", act),
]
if settings.PROFILE == "N":
    urlpatterns += [
        path("api/token/sliding/", views.TokenObtainSlidingView.as_view()),
        path("api/token/sliding/refresh/", views.TokenRefreshSlidingView.as_view()),
    ]
