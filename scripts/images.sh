#!/usr/bin/env bash
# The example images, made of a static busybox and a shell script each, in the
# local registry. Nothing comes from a public one. Needs Docker and the registry.
. "$(dirname "$0")/need.sh"

registry=$MUSTER_REGISTRY_LISTEN
images=(example/web:1 example/web:2 example/batch:1 example/crash:1)

is_static() { ! LC_ALL=C ldd "$1" 2>/dev/null | grep -q '=>'; }
busybox=$(type -P busybox) && is_static "$busybox" && "$busybox" --list | grep -qx httpd ||
  busybox=$(need_from_deb busybox-static bin/busybox 2>/dev/null || need_from_deb busybox-static usr/bin/busybox)

# What they are made of; a change of it makes them anew. The registry itself keeps
# it, as a tag: several checkouts may share one registry.
made_of=$(cat "$busybox" "$root"/scripts/images/* "$0" | sha256sum | cut -c 1-16)
marker=example/crash:made-of-$made_of

in_registry() {
  curl -fsS -o /dev/null -I --max-time 5 \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    "http://$registry/v2/${1%:*}/manifests/${1#*:}" 2>/dev/null
}
all_in_registry() {
  local image
  for image in "${images[@]}"; do in_registry "$image" || return 1; done
}
if in_registry "$marker" && all_in_registry; then
  # An engine that another registry was beside may have others by these names; what is the same costs nothing.
  for image in "${images[@]}"; do docker pull -q "$registry/$image" >/dev/null; done
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# make NAME:VERSION CHANGE...: a root filesystem with /bin/NAME as its program.
make_image() {
  local image=$1 name version rootfs
  shift
  name=${image#example/} version=${image#*:}
  name=${name%:*}
  rootfs=$work/$name-$version
  mkdir -p "$rootfs"/{bin,etc,tmp,proc,sys,dev,www,www-unhealthy}
  chmod 1777 "$rootfs/tmp"
  cp "$busybox" "$rootfs/bin/busybox"
  "$busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$rootfs/bin/$applet"
  done
  install -m 755 "$root/scripts/images/$name" "$rootfs/bin/$name"
  printf 'root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n' >"$rootfs/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' >"$rootfs/etc/group"
  echo "$version" >"$rootfs/etc/version"
  if [ "$name" = web ]; then
    cat >"$rootfs/www/index.html" <<HTML
<!doctype html><meta charset="utf-8"><title>example/web $version</title>
<body style="font: 1.2rem/1.5 system-ui; margin: 4rem"><h1>example/web, version $version</h1>
<p>Served by a container that a commit started.</p>
HTML
    cp "$rootfs/www/index.html" "$rootfs/www-unhealthy/"
    echo ok >"$rootfs/www/healthz"
    echo "$version" | tee "$rootfs/www/version" >"$rootfs/www-unhealthy/version"
  fi
  # Fixed owners and times: the same layer from the same content. The time differs
  # by version, or a browser would take one page for the other (same size and time).
  tar -C "$rootfs" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$((version * 86400))" -cf - . |
    docker import --change "ENTRYPOINT [\"/bin/$name\"]" --change 'USER 1000:1000' \
      --change 'ENV PATH=/bin' --change 'WORKDIR /' "$@" - "$registry/$image"
  docker push "$registry/$image"
}

make_all() {
  make_image example/web:1 --change 'EXPOSE 8080' &&
    make_image example/web:2 --change 'EXPOSE 8080' &&
    make_image example/batch:1 &&
    make_image example/crash:1 &&
    docker tag "$registry/example/crash:1" "$registry/$marker" &&
    docker push "$registry/$marker"
}
long "making the example images" make_all
all_in_registry || die "the example images were pushed and are not in the registry at $registry"
