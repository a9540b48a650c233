"""Pictures out of videos and image folders, with boxes drawn into them: a program of its own.

``python -m vru.media`` is started as a child process, because it decodes files from outside: it has no secrets in its
environment, and limits on memory and processor time. A request goes in, pictures come out.
"""
