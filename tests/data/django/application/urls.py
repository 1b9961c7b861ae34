from django.urls import path

from application.views import whoami

urlpatterns = [
    path("whoami/", whoami),
    path("public/whoami/", whoami),
]
