# What `vru doctor` looks at on a server, in one go. Reads only, and needs nothing that a bare Debian or Ubuntu lacks.
#   sh -s -- ROOT < probes.sh
# For each probe it writes "@@ KEY EXIT-CODE" and then what the probe wrote. It judges nothing.
told_lang=${LC_ALL:-${LANG:-}}
told_docker_host=${DOCKER_HOST:-}
unset DOCKER_CONTEXT
# This server's own engine, whatever root's docker command is set to.
export DOCKER_HOST=unix:///var/run/docker.sock
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=$1

# Nothing may hang: a probe's slow commands go through `t`, what waits for the network through `n`.
t() { timeout -k 1 6 "$@"; }
n() { timeout -k 1 3 "$@"; }
probe() {
  key=$1; shift
  out=$("$@" 2>&1 </dev/null); code=$?
  printf '@@ %s %s\n%s\n' "$key" "$code" "$out"
}
existing() { d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; echo "$d"; }
has() { command -v "$1" >/dev/null 2>&1; }
# Passwords in the addresses of proxies stay on the server.
masked() { sed 's#//[^/@]*@#//***@#g'; }

# -- the machine
os() { cat /etc/os-release; }
machine() { uname -m; }
kernel() { uname -r; }
userland() { t dpkg --print-architecture; }
virtual() { systemd-detect-virt || true; }
cpus() { nproc; }
memory() { awk '/^(MemTotal|MemAvailable|SwapTotal):/ {sub(":", ""); print $1, $2}' /proc/meminfo; }
clock() { date +%s; }
init() { cat /proc/1/comm; }
systemd() { t systemctl is-system-running || true; }
failed_units() { t systemctl --failed --no-legend --plain; }
python() { has python3 || return 0; t python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
# MOUNT-POINT KIB-FREE KIB-TOTAL INODES-FREE INODES-TOTAL, after the directory that was asked for.
disks() {
  for path in "$root" /var/lib/docker / /tmp; do
    at=$(existing "$path")
    blocks=$(t df -Pk "$at" | awk 'NR == 2 {print $6, $4, $2}')
    inodes=$(t df -Pi "$at" | awk 'NR == 2 {print $4, $2}')
    echo "$path $blocks $inodes"
  done
}
# The last mount over a directory is the one that counts; PATH MOUNT-POINT OPTIONS.
mounts() {
  for path in "$root" /var/lib/docker / /tmp; do
    awk -v path="$path" '
      { point = $2; if (point != "/") point = point "/" }
      index(path "/", point) == 1 && length(point) >= best { best = length(point); found = $2 " " $4 }
      END { print path, found }' /proc/mounts
  done
}
# Not timedatectl: it would start a service to ask.
time_sync() {
  for unit in systemd-timesyncd chrony chronyd ntp ntpsec openntpd; do
    if t systemctl -q is-active "$unit"; then echo "$unit"; return 0; fi
  done
}
reboot() {
  if [ -e /run/reboot-required ]; then echo "required"; t sort -u /run/reboot-required.pkgs 2>/dev/null || true; fi
}
# What a program would complain about in the locale that SSH brought here.
locales() { echo "$told_lang"; LC_ALL='' LANG=$told_lang locale 2>&1 >/dev/null; }
host_name() { name=$(uname -n); echo "$name"; n getent hosts "$name" || true; }
# The last day's lines of the kernel that mean a dying disk, too little memory, or a refusal by AppArmor.
kernel_log() {
  t dmesg >/dev/null || return 1
  t dmesg | awk -v up="$(cut -d. -f1 /proc/uptime)" '
    /I\/O error, dev|EXT4-fs error|XFS.*(corruption|Corruption)|critical medium error|Remounting filesystem read-only|Out of memory: Killed|Memory cgroup out of memory|oom-kill:|apparmor="DENIED"/ {
      when = $0; sub(/^\[ */, "", when); sub(/\..*/, "", when)
      if (when !~ /^[0-9]+$/ || up - when < 86400) { found[++n] = substr($0, 1, 300) }
    }
    END { for (i = (n > 40 ? n - 39 : 1); i <= n; i++) print found[i] }'
}
cgroup() { stat -fc %T /sys/fs/cgroup; if [ -d /sys/fs/cgroup/unified ]; then echo hybrid; fi; }
selinux() { if [ -r /sys/fs/selinux/enforce ]; then cat /sys/fs/selinux/enforce; fi; }
apparmor() {
  if [ -r /sys/module/apparmor/parameters/enabled ]; then cat /sys/module/apparmor/parameters/enabled; else echo absent; fi
  command -v apparmor_parser || true
}
settings() {
  for name in vm/overcommit_memory net/ipv4/ip_forward net/ipv6/conf/all/disable_ipv6 \
    net/ipv6/conf/default/disable_ipv6 net/netfilter/nf_conntrack_count net/netfilter/nf_conntrack_max; do
    if [ -r "/proc/sys/$name" ]; then echo "$name=$(cat "/proc/sys/$name")"; fi
  done
}

# -- packages
apt() { command -v apt-get || true; }
# PID NAME FILE of whoever holds one of the package manager's locks.
apt_lock() {
  for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    [ -e "$file" ] || continue
    inode=$(stat -c %i "$file")
    awk -v inode="$inode" '$2 == "POSIX" && $6 ~ (":" inode "$") {print $5}' /proc/locks | while read -r pid; do
      echo "$pid $(cat "/proc/$pid/comm" 2>/dev/null || echo process) $file"
    done
  done
}
dpkg_audit() { has dpkg || return 0; t dpkg --audit; }
certificates() { if [ -s /etc/ssl/certs/ca-certificates.crt ]; then echo present; fi; }
# Where packages come from: scheme://host
apt_site() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk '/^deb |^URIs:/ { for (i = 1; i <= NF; i++) if ($i ~ /^https?:/) { split($i, part, "/"); print part[1] "//" part[3]; exit } }' | masked
}

# -- Docker
docker_binary() { path=$(command -v docker) || return 0; readlink -f "$path"; t docker --version; }
docker_unit() { t systemctl is-enabled docker.service || true; t systemctl is-active docker.service || true; }
docker_host() {
  echo "$told_docker_host"
  if has docker; then t env -u DOCKER_HOST docker context show; fi
}
docker_version() { has docker || return 0; t docker version --format '{{.Server.Version}}'; }
docker_info() {
  t docker info --format 'driver={{.Driver}}
logging={{.LoggingDriver}}
root={{.DockerRootDir}}
security={{.SecurityOptions}}'
}
compose() {
  has docker || return 0
  t docker compose version --short 2>/dev/null || t docker-compose version --short
}
daemon_json() { if [ -e /etc/docker/daemon.json ]; then masked </etc/docker/daemon.json; fi; }
containers() {
  t docker ps -a --format '{{.Names}}	{{.State}}	{{.Label "com.docker.compose.project"}}	{{.Ports}}	{{.Image}}'
}
restarts() {
  ids=$(t docker ps -aq --filter label=com.docker.compose.project=vru-platform) || return 1
  # shellcheck disable=SC2086 # the ids are words
  [ -z "$ids" ] || t docker inspect -f '{{.Name}} {{.RestartCount}} {{.State.Status}} {{.State.OOMKilled}}' $ids
}
container_logs() { t find /var/lib/docker/containers -name '*-json.log' -size +1048576k 2>/dev/null || true; }
build_cache() { t docker system df --format '{{.Type}}	{{.Size}}	{{.Reclaimable}}'; }

# -- network
listening() { t ss -Hltnp; }
routes() { t ip -o route show default; t ip -o -6 route show default; }
networks() { t ip -o -4 route show; }
links() { t ip -o link show; }
addresses() { t ip -o -6 addr show scope global; }
proxies() {
  { env; cat /etc/environment 2>/dev/null; } | sed -n 's/^\(export \)\{0,1\}\(https\{0,1\}_proxy\|HTTPS\{0,1\}_PROXY\)=/environment /p' | masked
  if has apt-config; then t apt-config dump | sed -n 's/^Acquire::https\{0,1\}::Proxy "\(.*\)";/apt \1/Ip' | masked; fi
  t systemctl show docker.service -p Environment 2>/dev/null | grep -io 'https\{0,1\}_proxy=[^ "]*' | sed 's/^[^=]*=/docker /' | masked
  return 0
}
sshd_settings() { t sshd -T | grep -iE '^(maxsessions|maxstartups|allowtcpforwarding|disableforwarding|port|permitrootlogin) '; }
iptables_version() { if has iptables; then t iptables -V; fi; }
iptables_legacy() { cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true; }
iptables_jumps() {
  for name in iptables ip6tables; do
    if has "$name-save"; then
      t "$name-save" -t filter 2>/dev/null | sed -n "s/^-A .* -j \\(VRU-INPUT\\|VRU-DOCKER\\|DOCKER-USER\\)$/$name \\1/p"
    fi
  done
}
ufw_status() { if has ufw; then t ufw status; fi; }
firewalld() { t systemctl is-active firewalld.service || true; }

# -- the platform
release() { cat "$root/releases/current" 2>/dev/null || true; }
backups() { newest=$(ls -1dt "$root"/backups/*/ 2>/dev/null | head -n 1); [ -z "$newest" ] || stat -c '%Y %n' "$newest"; }
logrotate() { command -v logrotate || true; ls /etc/logrotate.d/vru-platform 2>/dev/null || true; }
old_units() { ls -1 /etc/systemd/system 2>/dev/null | grep -iE '^(vru|ai-model-validation).*\.(service|timer)$' || true; }
old_paths() {
  for path in /opt/vru /opt/vru-validation /opt/ai-model-validation-platform /root/vru-platform /root/ai-model-validation-platform \
    /etc/nginx/sites-enabled/*vru* /etc/cron.d/*vru*; do
    if [ -e "$path" ]; then echo "$path"; fi
  done
  if [ -d "$root" ] && [ ! -d "$root/releases" ] && [ ! -d "$root/state" ] && [ -n "$(ls -A "$root")" ]; then echo "$root"; fi
}

# -- what may take its time, all at once
dns() {
  site=$(apt_site); host=${site#*://}; host=${host%%:*}; host=${host:-deb.debian.org}
  if n getent ahosts "$host" >/dev/null; then echo "$host yes"; else echo "$host no"; fi
}
reaches() { # URL: tries a TCP connection to it
  rest=${1#*://}; rest=${rest%%/*}; rest=${rest##*@}
  port=443; case $1 in http://*) port=80 ;; esac
  case $rest in *:*) port=${rest##*:}; rest=${rest%:*} ;; esac
  if n bash -c ": </dev/tcp/$rest/$port" 2>/dev/null; then echo "$rest:$port yes"; else echo "$rest:$port no"; fi
}
first_proxy() { proxies | awk -v who="$1" '$1 == who {print $2; exit}'; }
mirror() { to=$(first_proxy apt); reaches "${to:-$(apt_site)}"; }
registry() {
  to=$(first_proxy docker)
  if [ -z "$to" ] && [ -r /etc/docker/daemon.json ]; then
    to=$(tr -d ' \n' </etc/docker/daemon.json | sed -n 's/.*"registry-mirrors":\["\([^"]*\)".*/\1/p')
  fi
  reaches "${to:-https://registry-1.docker.io}"
}

slow() {
  for key in dns mirror registry build_cache docker_version docker_info; do probe "$key" "$key" & done
  wait
}
fast() {
  for key in os machine kernel userland virtual cpus memory clock init systemd failed_units python disks mounts \
    time_sync reboot locales host_name kernel_log cgroup selinux apparmor settings \
    apt apt_lock dpkg_audit certificates apt_site \
    docker_binary docker_unit docker_host compose daemon_json containers restarts container_logs \
    listening routes networks links addresses proxies sshd_settings \
    iptables_version iptables_legacy iptables_jumps ufw_status firewalld \
    release backups logrotate old_units old_paths; do
    probe "$key" "$key"
  done
}
# The slow ones run meanwhile; their few bytes wait in the pipe.
slow | { fast; cat; }
